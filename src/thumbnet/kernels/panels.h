// Matrix products by panels: of tiles with one frequency of the filters, and of tiles with tiles for their gradients.

#pragma once

#include <cstddef>

#include "vectors.h"

namespace {

#ifdef __AVX512DQ__
constexpr int MOST_ROWS[3] = {0, 12, 12};  // of a product of 1 or 2 vectors' width: what 32 registers hold
#elif defined(__ARM_NEON)
constexpr int MOST_ROWS[3] = {0, 12, 10};  // also 32, of which g++ fills some with factors beforehand
#else
constexpr int MOST_ROWS[3] = {0, 12, 6};
#endif

// left[i * row + k * column] for i < rows and k < depth; right[k * right_row + j], result[i * result_row + j]. With
// `segments`, several such products are summed up, whose left factors begin at these distances from `left`, and whose
// right ones follow each other.
struct Product {
    const float* left;
    size_t row, column;
    const float* right;
    size_t right_row;
    float* result;
    size_t result_row;
    int depth;
    const size_t* segments = nullptr;
    int num_segments = 1;
};

template <int rows, int vectors, bool adds>
inline void product_tile(const Product& p) {
    Vector sums[rows][vectors];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sums[i][v] = adds ? load(p.result + i * p.result_row + v * LANES) : Vector{};
    const float* right = p.right;
    for (int segment = 0; segment < p.num_segments; segment++) {
        const float* left = p.left + (p.segments ? p.segments[segment] : 0);
        for (int k = 0; k < p.depth; k++, left += p.column, right += p.right_row) {
            Vector factors[vectors];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) factors[v] = load(right + v * LANES);
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                const Vector factor = spread(left[i * p.row]);
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) sums[i][v] += factor * factors[v];
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) store(p.result + i * p.result_row + v * LANES, sums[i][v]);
}

template <int rows, int vectors, bool adds>
inline void product_rows(int wanted, const Product& p) {
    if constexpr (rows > 1)
        if (wanted < rows) return product_rows<rows - 1, vectors, adds>(wanted, p);
    product_tile<rows, vectors, adds>(p);
}

// One or two vectors' width of a product. Its rows are spread evenly over tiles: 32 as 6, 6, 5, 5, 5, 5.
template <int vectors, bool adds>
__attribute__((noinline)) void product(Product p, int rows) {
    const int num_tiles = (rows + MOST_ROWS[vectors] - 1) / MOST_ROWS[vectors];
    for (int tile = 0; tile < num_tiles; tile++) {
        const int some = rows / num_tiles + (tile < rows % num_tiles);
        product_rows<MOST_ROWS[vectors], vectors, adds>(some, p);
        p.left += some * p.row;
        p.result += some * p.result_row;
    }
}

}  // namespace
