// Products of matrices in float32.

#pragma once

#include <algorithm>
#include <cstddef>

#include "vectors.h"

namespace {

// Rows of a tile of 1, 2, ... vectors' width: what the registers hold, with one row's factors and one of the left matrix.
#ifdef __AVX512DQ__
constexpr int MOST_VECTORS = 4, MOST_ROWS_OF[MOST_VECTORS + 1] = {0, 24, 12, 8, 6};
#elif defined(__ARM_NEON)  // g++ holds more of the left matrix
constexpr int MOST_VECTORS = 3, MOST_ROWS_OF[MOST_VECTORS + 1] = {0, 12, 10, 7};
#else
constexpr int MOST_VECTORS = 3, MOST_ROWS_OF[MOST_VECTORS + 1] = {0, 12, 6, 4};
#endif

// A matrix product's operands: left[i * row + k * column], right[k * stride + j], result[i * stride + j].
struct Left {
    const float* values;
    size_t row, column;
};

struct Operands {  // `right`, `result` and `start` from a column on
    Left left;
    const float* right;
    float* result;
    const float* start;
    size_t stride;
    int depth;
};

// The last of the vectors has `last` lanes: LANES or half as many.
template <int rows, int vectors, int last>
__attribute__((always_inline)) inline void multiply_tile(const Operands& of) {
    const auto load_row = [](const float* from, Vector (&row)[vectors]) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors - 1; v++) row[v] = load(from + v * LANES);
        row[vectors - 1] = load_lanes<last>(from + (vectors - 1) * LANES);
    };
    Vector sums[rows][vectors] = {};
    if (of.start)
#pragma GCC unroll 24
        for (int i = 0; i < rows; i++) load_row(of.start + i * of.stride, sums[i]);
    const float *left = of.left.values, *right = of.right;
    for (int k = 0; k < of.depth; k++, left += of.left.column, right += of.stride) {
        Vector factors[vectors];
        load_row(right, factors);
#pragma GCC unroll 24
        for (int i = 0; i < rows; i++) {
            const Vector factor = spread(left[i * of.left.row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sums[i][v] += factor * factors[v];
        }
    }
#pragma GCC unroll 24
    for (int i = 0; i < rows; i++) {
        float* to = of.result + i * of.stride;
#pragma GCC unroll 4
        for (int v = 0; v < vectors - 1; v++) store(to + v * LANES, sums[i][v]);
        store_lanes<last>(to + (vectors - 1) * LANES, sums[i][vectors - 1]);
    }
}

// Tiles of as many rows as are `wanted`, one below the other. The loop is within the choice: around it, it takes longer.
template <int rows, int vectors, int last>
void multiply_tiles(int wanted, int num_tiles, Operands of) {
    if constexpr (rows > 1)
        if (wanted < rows) return multiply_tiles<rows - 1, vectors, last>(wanted, num_tiles, of);
    for (int tile = 0; tile < num_tiles; tile++) {
        multiply_tile<rows, vectors, last>(of);
        of.left.values += rows * of.left.row;
        of.result += rows * of.stride;
        if (of.start) of.start += rows * of.stride;
    }
}

// Rows are spread evenly over tiles: 32 as 6, 6, 5, 5, 5, 5.
template <int vectors, int last>
void multiply_rows(Operands of, int rows) {
    constexpr int most = MOST_ROWS_OF[vectors];
    const int num_tiles = (rows + most - 1) / most, few = rows / num_tiles, num_larger = rows % num_tiles;
    if (num_larger) multiply_tiles<most, vectors, last>(few + 1, num_larger, of);
    const int done = num_larger * (few + 1);
    of.left.values += done * of.left.row;
    of.result += done * of.stride;
    if (of.start) of.start += done * of.stride;
    multiply_tiles<most, vectors, last>(few, num_tiles - num_larger, of);
}

template <int vectors>
void multiply_columns(const Operands& of, int rows, int last) {
    if (last == LANES)
        multiply_rows<vectors, LANES>(of, rows);
    else if constexpr (LANES > CHANNEL_MULTIPLE)
        multiply_rows<vectors, CHANNEL_MULTIPLE>(of, rows);
}

// result = start (or 0) + left * right; the width is a multiple of CHANNEL_MULTIPLE, and rows are `stride` apart.
void multiply(Left left, const float* right, float* result, const float* start, int rows, int width, int depth,
              int stride) {
    const int num_vectors = (width + LANES - 1) / LANES;
#ifdef __AVX512DQ__
    const int num_panels = (num_vectors + MOST_VECTORS - 1) / MOST_VECTORS;
#else
    const int num_panels = std::max(1, num_vectors / 2);  // of two vectors, the first of three where one would remain
#endif
    for (int panel = 0, vector = 0; panel < num_panels; panel++) {
        const int taken = num_vectors / num_panels + (panel < num_vectors % num_panels);
        const int column = vector * LANES, last = std::min(LANES, width - column - (taken - 1) * LANES);
        const float* begin = start ? start + column : nullptr;
        const Operands of{left, right + column, result + column, begin, static_cast<size_t>(stride), depth};
        switch (taken) {
            case 1: multiply_columns<1>(of, rows, last); break;
            case 2: multiply_columns<2>(of, rows, last); break;
            case 3: multiply_columns<3>(of, rows, last); break;
            default: multiply_columns<MOST_VECTORS>(of, rows, last);
        }
        vector += taken;
    }
}
inline void multiply(Left left, const float* right, float* result, const float* start, int rows, int width, int depth) {
    multiply(left, right, result, start, rows, width, depth, width);
}

}  // namespace
