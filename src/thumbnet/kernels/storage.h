// Maps in the type that they are stored in, float32 or bfloat16, and their copies in float32.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "vectors.h"

namespace {

// Position to channel, in float32 copies of maps stored as Stored.
template <typename Stored>
std::vector<int> order_of(int channels) {
    std::vector<int> order(channels);
    for (int c = 0; c < channels; c++) order[c] = c;
    if (std::is_same_v<Stored, Bfloat16> && channels % CHANNEL_MULTIPLE == 0)
        for (int c = 0; c + 2 * LANES <= channels; c += 2 * LANES)
            for (int lane = 0; lane < LANES; lane++) {
                order[c + lane] = c + 2 * lane;
                order[c + LANES + lane] = c + 2 * lane + 1;
            }
    return order;
}

// A copy of a matrix with its rows and columns in these orders.
std::vector<float> in_order(const float* matrix, const std::vector<int>& rows, const std::vector<int>& columns) {
    std::vector<float> result(rows.size() * columns.size());
    for (size_t i = 0; i < rows.size(); i++)
        for (size_t j = 0; j < columns.size(); j++)
            result[i * columns.size() + j] = with_usual_nan(matrix[rows[i] * columns.size() + columns[j]]);
    return result;
}

// Floats that hold this many stored values.
template <typename Stored>
size_t floats_for(size_t size) {
    return (size * sizeof(Stored) + sizeof(float) - 1) / sizeof(float);
}

// Where maps are computed in float32 before they are stored: in their own place, or in `scratch`.
inline float* compute_in(float* stored, float*) { return stored; }
inline float* compute_in(Bfloat16*, float* scratch) { return scratch; }
inline void store_maps(float*, const float*, size_t, int) {}
inline void store_maps(Bfloat16* stored, const float* scratch, size_t pixels, int channels) {
    for (size_t at = 0; at < pixels * channels; at += channels)
        over_channels(channels, [&](auto width, int c) {
            store_group<width>(stored + at + c, load_group<width>(scratch + at + c));
        });
}

// Stored maps as float32: themselves, or in `scratch`.
inline const float* as_floats(const float* stored, float*, size_t, int) { return stored; }
inline const float* as_floats(const Bfloat16* stored, float* scratch, size_t pixels, int channels) {
    const size_t size = pixels * channels;
    if (channels % CHANNEL_MULTIPLE == 0) {
        for (size_t at = 0; at < size; at += channels)
            over_channels(channels, [&](auto width, int c) {
                store_group<width>(scratch + at + c, load_group<width>(stored + at + c));
            });
        return scratch;
    }
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(scratch + i, load(stored + i));
    for (; i < size; i++) {
        const uint32_t bits = static_cast<uint32_t>(stored[i].bits) << 16;
        std::memcpy(scratch + i, &bits, sizeof bits);
    }
    return scratch;
}

// A pointer to maps of either type: it converts to the one that a template's instance takes.
struct AnyStored {
    void* values;
    template <typename Stored>
    operator Stored*() const {
        return static_cast<std::remove_const_t<Stored>*>(values);
    }
};

}  // namespace

// Calls the template's instance for bfloat16 or for float32 maps.
#define FOR_STORAGE(function, ...) (is_bfloat16 ? function<Bfloat16>(__VA_ARGS__) : function<float>(__VA_ARGS__))
