// Maps as they are kept, float32 or bfloat16, and their copies in float32.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "vectors.h"

namespace {

// Which channel stands where, in float32 copies of maps kept as Kept.
template <typename Kept>
std::vector<int> order_of(int channels) {
    std::vector<int> order(channels);
    for (int c = 0; c < channels; c++) order[c] = c;
    if (std::is_same_v<Kept, Bfloat16> && channels % LANES == 0)
        for (int c = 0; c + 2 * LANES <= channels; c += 2 * LANES)
            for (int lane = 0; lane < LANES; lane++) {
                order[c + lane] = c + 2 * lane;
                order[c + LANES + lane] = c + 2 * lane + 1;
            }
    return order;
}

// A matrix whose rows or columns, or both, stand in the order of some maps' channels.
std::vector<float> in_order(const float* matrix, const std::vector<int>& rows, const std::vector<int>& columns) {
    std::vector<float> result(rows.size() * columns.size());
    for (size_t i = 0; i < rows.size(); i++)
        for (size_t j = 0; j < columns.size(); j++)
            result[i * columns.size() + j] = with_usual_nan(matrix[rows[i] * columns.size() + columns[j]]);
    return result;
}

// Where maps to be kept are computed in float32: in their own place, or in `room`, from which they are then kept.
inline float* place_of(float* kept, float*) { return kept; }
inline float* place_of(Bfloat16*, float* room) { return room; }
inline void keep(float*, const float*, size_t, int) {}
inline void keep(Bfloat16* kept, const float* room, size_t pixels, int channels) {
    for (size_t at = 0; at < pixels * channels; at += channels)
        over_channels(channels, [&](auto count, int c) {
            store_group<count>(kept + at + c, load_group<count>(room + at + c));
        });
}

// Kept maps as float32: themselves, or in `room`.
inline const float* as_floats(const float* kept, float*, size_t, int) { return kept; }
inline const float* as_floats(const Bfloat16* kept, float* room, size_t pixels, int channels) {
    const size_t size = pixels * channels;
    if (channels % LANES == 0) {
        for (size_t at = 0; at < size; at += channels)
            over_channels(channels, [&](auto count, int c) {
                store_group<count>(room + at + c, load_group<count>(kept + at + c));
            });
        return room;
    }
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(room + i, load(kept + i));
    for (; i < size; i++) {
        const uint32_t bits = static_cast<uint32_t>(kept[i].bits) << 16;
        std::memcpy(room + i, &bits, sizeof bits);
    }
    return room;
}

}  // namespace
