// What looks at neighbouring pixels: depthwise 3x3 filters and pooling of 2x2, with their gradients.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "vectors.h"

namespace {

constexpr int TAPS = 9;

// One image's maps [h, w, c], a row of zeros to stand above and below them, and how far apart a filter's taps are.
struct Maps {
    int height, width, channels;
    const float* zeros;
    int dilation;

    size_t pixels() const { return static_cast<size_t>(height) * width; }
    size_t size() const { return pixels() * channels; }
    const float* row(const float* maps, int r) const {
        return r < 0 || r >= height ? zeros : maps + static_cast<size_t>(r) * width * channels;
    }
};

// work(has_left, x, has_right) for each pixel x of a row, and whether it has neighbours at that distance.
template <typename Work>
inline void over_columns(int width, int distance, const Work& work) {
    int x = 0;
    for (; x < std::min(distance, width); x++) work(false, x, x + distance < width);
    for (; x + distance < width; x++) work(true, x, true);
    for (; x < width; x++) work(true, x, false);
}

// result[r, x] = sum over 3x3 of weights[tap] * maps[r + dy, x + dx]; `last_first` takes the taps in
// reverse: the adjoint.
void filter(const Maps& shape, const float* maps, const float* weights, float* result, bool last_first) {
    const int channels = shape.channels, width = shape.width, distance = shape.dilation;
    for (int r = 0; r < shape.height; r++) {
        const float* rows[3] = {shape.row(maps, r - distance), shape.row(maps, r), shape.row(maps, r + distance)};
        over_vectors(channels, [&](auto lanes, int c) {
            Vector factors[TAPS];
#pragma GCC unroll 9
            for (int tap = 0; tap < TAPS; tap++)
                factors[tap] = load_lanes<lanes>(weights + (last_first ? TAPS - 1 - tap : tap) * channels + c);
            float* out = result + static_cast<size_t>(r) * width * channels + c;
            const auto column = [&](int x, int side) {  // the three taps of one column of the window
                const size_t offset = static_cast<size_t>(x + (side - 1) * distance) * channels + c;
                return factors[side] * load_lanes<lanes>(rows[0] + offset) +
                       factors[3 + side] * load_lanes<lanes>(rows[1] + offset) +
                       factors[6 + side] * load_lanes<lanes>(rows[2] + offset);
            };
            over_columns(width, distance, [&](bool has_left, int x, bool has_right) {
                Vector sum = column(x, 1);
                if (has_left) sum += column(x, 0);
                if (has_right) sum += column(x, 2);
                store_lanes<lanes>(out + static_cast<size_t>(x) * channels, sum);
            });
        });
    }
}

// sums[tap] += over all pixels, gradient[r, x] * maps[r + dy, x + dx]
void filter_gradient(const Maps& shape, const float* maps, const float* gradient, float* sums) {
    const int channels = shape.channels, width = shape.width, distance = shape.dilation;
    over_vectors(channels, [&](auto lanes, int c) {
        Vector totals[TAPS] = {};
        for (int r = 0; r < shape.height; r++) {
            const float* rows[3] = {shape.row(maps, r - distance), shape.row(maps, r), shape.row(maps, r + distance)};
            const float* from = gradient + static_cast<size_t>(r) * width * channels + c;
            over_columns(width, distance, [&](bool has_left, int x, bool has_right) {
                const Vector slope = load_lanes<lanes>(from + static_cast<size_t>(x) * channels);
                const auto column = [&](int side) {
                    const size_t offset = static_cast<size_t>(x + (side - 1) * distance) * channels + c;
#pragma GCC unroll 3
                    for (int down = 0; down < 3; down++)
                        totals[3 * down + side] += slope * load_lanes<lanes>(rows[down] + offset);
                };
                column(1);
                if (has_left) column(0);
                if (has_right) column(2);
            });
        }
        for (int tap = 0; tap < TAPS; tap++) {
            float* sum = sums + tap * channels + c;
            store_lanes<lanes>(sum, load_lanes<lanes>(sum) + totals[tap]);
        }
    });
}

// The largest of each 2x2 pixels, and which it was (0 to 3); a NaN counts as larger than any number. An odd last row or
// column is left out.
template <typename Stored, typename Result>
void pool(const Maps& shape, const Stored* maps, Result* pooled, uint8_t* largest) {
    const size_t channels = shape.channels, line = shape.width * channels;
    for (int r = 0; r < shape.height / 2; r++)
        for (int x = 0; x < shape.width / 2; x++)
            over_channels(shape.channels, [&](auto width, int c) {
                const Stored* from = maps + 2 * r * line + 2 * x * channels + c;
                const size_t to = (static_cast<size_t>(r) * (shape.width / 2) + x) * channels + c;
                const size_t offsets[4] = {0, channels, line, line + channels};
                Group<width> most = load_group<width>(from);
                Integers which[Group<width>::count] = {};
#pragma GCC unroll 3
                for (int j = 1; j < 4; j++) {
                    const Group<width> other = load_group<width>(from + offsets[j]);
                    for (int k = 0; k < most.count; k++) {
                        const Integers is_more =
                            (other.parts[k] > most.parts[k]) | (other.parts[k] != other.parts[k]);
                        most.parts[k] = is_more ? other.parts[k] : most.parts[k];
                        which[k] = is_more ? Integers{} + j : which[k];
                    }
                }
                store_group<width>(pooled + to, most);
                for (int k = 0; k < most.count; k++)
                    store_bytes<Group<width>::lanes>(largest + to + k * LANES, which[k]);
            });
}

// The adjoint: each gradient goes to the pixel that was the largest. What `pool` leaves out is not written.
template <typename Result>
void unpool(const Maps& shape, const float* gradient, const uint8_t* largest, Result* result) {
    const size_t channels = shape.channels, line = shape.width * channels;
    for (int r = 0; r < shape.height / 2; r++)
        for (int x = 0; x < shape.width / 2; x++)
            over_channels(shape.channels, [&](auto width, int c) {
                const size_t from = (static_cast<size_t>(r) * (shape.width / 2) + x) * channels + c;
                Result* to = result + 2 * r * line + 2 * x * channels + c;
                const size_t offsets[4] = {0, channels, line, line + channels};
                const Group<width> slope = load_group<width>(gradient + from);
                Integers which[Group<width>::count];
                for (int k = 0; k < slope.count; k++)
                    which[k] = load_bytes<Group<width>::lanes>(largest + from + k * LANES);
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++) {
                    Group<width> own;
                    for (int k = 0; k < own.count; k++) own.parts[k] = which[k] == j ? slope.parts[k] : Vector{};
                    store_group<width>(to + offsets[j], own);
                }
            });
}

}  // namespace
