// Products of matrices in float32.

#pragma once

#include <cstddef>

#include "vectors.h"

namespace {

#ifdef __AVX512DQ__
constexpr int ROWS[5] = {0, 8, 8, 8, 6};  // of a tile of 1 to 4 vectors: what fits 32 registers
#else
constexpr int ROWS[5] = {0, 4, 4, 4, 3};
#endif

// A matrix product's operands: left[i * row + k * column], right[k * width + j], result[i * width + j].
struct Left {
    const float* values;
    size_t row, column;
};

template <int rows, int vectors>
inline void multiply_tile(Left left, const float* right, float* result, const float* start, size_t width, int depth) {
    Vector sums[rows][vectors];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sums[i][v] = start ? load(start + i * width + v * LANES) : Vector{};
    for (int k = 0; k < depth; k++) {
        Vector factors[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) factors[v] = load(right + k * width + v * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const Vector factor = spread(left.values[i * left.row + k * left.column]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sums[i][v] += factor * factors[v];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) store(result + i * width + v * LANES, sums[i][v]);
}

template <int vectors>
void multiply_columns(Left left, const float* right, float* result, const float* start, size_t width, int rows,
                      int depth) {
    int i = 0;
    const auto at = [&](int row) { return Left{left.values + row * left.row, left.row, left.column}; };
    const auto start_at = [&](int row) { return start ? start + row * width : nullptr; };
    for (; i + ROWS[vectors] <= rows; i += ROWS[vectors])
        multiply_tile<ROWS[vectors], vectors>(at(i), right, result + i * width, start_at(i), width, depth);
    for (; i + 2 <= rows; i += 2)
        multiply_tile<2, vectors>(at(i), right, result + i * width, start_at(i), width, depth);
    for (; i < rows; i++) multiply_tile<1, vectors>(at(i), right, result + i * width, start_at(i), width, depth);
}

// result = start (or 0) + left * right; the width is a multiple of LANES.
void multiply(Left left, const float* right, float* result, const float* start, int rows, int width, int depth) {
    for (int vector = 0, num_vectors = width / LANES; vector < num_vectors;) {
        const int rest = num_vectors - vector;
        const int taken = rest == 5 || rest == 6 ? 3 : rest < 4 ? rest : 4;  // 5 as 3 + 2, 6 as 3 + 3
        const size_t column = static_cast<size_t>(vector) * LANES;
        const float* begin = start ? start + column : nullptr;
        switch (taken) {
            case 1: multiply_columns<1>(left, right + column, result + column, begin, width, rows, depth); break;
            case 2: multiply_columns<2>(left, right + column, result + column, begin, width, rows, depth); break;
            case 3: multiply_columns<3>(left, right + column, result + column, begin, width, rows, depth); break;
            default: multiply_columns<4>(left, right + column, result + column, begin, width, rows, depth);
        }
        vector += taken;
    }
}

}  // namespace
