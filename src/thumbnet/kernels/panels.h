// Matrix products by panels: of tiles with one frequency of the filters, and of tiles with tiles for their gradients.

#pragma once

#include <cstddef>

#include "products.h"
#include "vectors.h"

namespace {

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
__attribute__((always_inline)) inline void product_tile(const Product& p) {
    Vector sums[rows][vectors];
#pragma GCC unroll 24
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sums[i][v] = Vector{};
    const float* right = p.right;
    for (int segment = 0; segment < p.num_segments; segment++) {
        const float* left = p.left + (p.segments ? p.segments[segment] : 0);
        for (int k = 0; k < p.depth; k++, left += p.column, right += p.right_row) {
            Vector factors[vectors];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) factors[v] = load(right + v * LANES);
#pragma GCC unroll 24
            for (int i = 0; i < rows; i++) {
                const Vector factor = spread(left[i * p.row]);
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) sums[i][v] += factor * factors[v];
            }
        }
    }
#pragma GCC unroll 24
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            float* to = p.result + i * p.result_row + v * LANES;
            store(to, adds ? load(to) + sums[i][v] : sums[i][v]);  // added last: fewer roundings in the total
        }
}

// Tiles of as many rows as are `wanted`, one below the other. The loop is within the choice: around it, it takes longer.
template <int rows, int vectors, bool adds>
void product_tiles(int wanted, int num_tiles, Product p) {
    if constexpr (rows > 1)
        if (wanted < rows) return product_tiles<rows - 1, vectors, adds>(wanted, num_tiles, p);
    for (int tile = 0; tile < num_tiles; tile++) {
        product_tile<rows, vectors, adds>(p);
        p.left += rows * p.row;
        p.result += rows * p.result_row;
    }
}

// One or two vectors' width of a product. Its rows are spread evenly over tiles: 32 as 6, 6, 5, 5, 5, 5.
template <int vectors, bool adds>
__attribute__((noinline)) void product(Product p, int rows) {
    constexpr int most = MOST_ROWS_OF[vectors];
    const int num_tiles = (rows + most - 1) / most, few = rows / num_tiles, num_larger = rows % num_tiles;
    if (num_larger) product_tiles<most, vectors, adds>(few + 1, num_larger, p);
    p.left += num_larger * (few + 1) * p.row;
    p.result += num_larger * (few + 1) * p.result_row;
    product_tiles<most, vectors, adds>(few, num_tiles - num_larger, p);
}

}  // namespace
