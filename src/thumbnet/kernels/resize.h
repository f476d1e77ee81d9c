// An image's maps of bytes resized along both sides, in integers as PyTorch does it: each result is a weighted sum of
// neighbouring pixels, rounded to a byte after each side, the width first. Vectors are of pixels of one column, so maps
// are transposed before and after.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vectors.h"

namespace {

constexpr int BLOCK = 16;  // bytes: maps are padded to multiples of it, and transposed by squares of it
static_assert(BLOCK % LANES == 0, "a padded row is whole vectors");
typedef uint8_t BlockRow __attribute__((vector_size(BLOCK), aligned(1), may_alias));

inline int padded(int size) { return (size + BLOCK - 1) / BLOCK * BLOCK; }

// How one side is resized; without `sums` it keeps its size.
struct Resampling {
    const int32_t* sums;  // [results][2 + taps]: the first pixel, the number of pixels, and their weights
    int taps, precision;  // the weights are multiples of 1 / (1 << precision)

    bool changes() const { return sums != nullptr; }
    const int32_t* sum(int result) const { return sums + static_cast<size_t>(result) * (2 + taps); }
};

// to[x][y] = from[y][x] for a square of BLOCK pixels.
inline void transpose_block(const uint8_t* from, size_t from_stride, uint8_t* to, size_t to_stride) {
    BlockRow rows[BLOCK], mixed[BLOCK];
#pragma GCC unroll 16
    for (int y = 0; y < BLOCK; y++) rows[y] = *reinterpret_cast<const BlockRow*>(from + y * from_stride);
#pragma GCC unroll 4
    for (int round = 0; round < 4; round++) {  // each doubles the pixels of a column that are neighbours
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK / 2; i++) {
            mixed[2 * i] = __builtin_shuffle(rows[i], rows[i + BLOCK / 2],
                                             BlockRow{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
            mixed[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + BLOCK / 2],
                                                 BlockRow{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
        }
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++) rows[i] = mixed[i];
    }
#pragma GCC unroll 16
    for (int x = 0; x < BLOCK; x++) *reinterpret_cast<BlockRow*>(to + x * to_stride) = rows[x];
}

// to[x][y] = from[y][x] for a map without padding; `to` has `to_stride` >= padded(height) pixels a row and is written
// for padded(width) rows.
inline void transpose(const uint8_t* from, int height, int width, uint8_t* to, size_t to_stride) {
    for (int y = 0; y < height; y += BLOCK)
        for (int x = 0; x < width; x += BLOCK) {
            uint8_t* corner = to + x * to_stride + y;
            const uint8_t* start = from + static_cast<size_t>(y) * width + x;
            if (y + BLOCK <= height && x + BLOCK <= width) {
                transpose_block(start, width, corner, to_stride);
                continue;
            }
            uint8_t part[BLOCK * BLOCK] = {};
            for (int row = 0; row < std::min(BLOCK, height - y); row++)
                std::memcpy(part + row * BLOCK, start + static_cast<size_t>(row) * width, std::min(BLOCK, width - x));
            transpose_block(part, BLOCK, corner, to_stride);
        }
}

// `count` results (a multiple of BLOCK): row[i] = the weighted sum of rows[at[..]][i], where `at` names a row of `from`.
inline void sum_rows(const Resampling& side, int result, const uint8_t* from, size_t stride, const int* at, uint8_t* row,
                     int count) {
    const int32_t *sum = side.sum(result), *weights = sum + 2;
    const int* pixels = at + sum[0];
    for (int i = 0; i < count; i += LANES) {
        Integers total = Integers{} + (1 << (side.precision - 1));
        for (int j = 0; j < sum[1]; j++) total += load_bytes<LANES>(from + pixels[j] * stride + i) * weights[j];
        total >>= side.precision;
        total = total < 0 ? Integers{} : total;
        store_bytes<LANES>(row + i, total > 255 ? Integers{} + 255 : total);
    }
}

}  // namespace
