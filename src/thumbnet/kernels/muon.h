// Muon's step on filters: momentum, whose step is the nearest orthogonal matrix, by Newton and Schulz's iteration in its
// quintic form (training/optimizers.py has the definition and its source).
//
// A filter is a matrix [rows, columns] whose rows follow each other; how its columns are ordered does not matter, if
// gradient and momentum have them in the same order. Each filter is one thread's work.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "parts.h"
#include "products.h"
#include "vectors.h"

namespace {

constexpr int NUM_NEWTON_SCHULZ_STEPS = 3;
constexpr float NEWTON_SCHULZ[3] = {3.4445f, -4.7750f, 2.0315f};
constexpr float SMALL_NORM = 1e-7f;
constexpr int DEPTH_AT_ONCE = 192;      // of a product, so that both sides stay in the first-level cache
constexpr int ROWS_AT_ONCE = 16;        // of a symmetric product, right of whose diagonal blocks all is computed
constexpr int NUM_SQUARE_MATRICES = 5;  // that the iteration works on

struct MuonFilter {
    float* weight;
    const float* gradient;
    float* momentum;
    int rows, columns;

    int smaller() const { return std::min(rows, columns); }
    double cost() const { return static_cast<double>(smaller()) * smaller() * (rows + columns); }
};

// A width that `multiply` takes.
inline int whole_groups(int width) { return (width + CHANNEL_MULTIPLE - 1) / CHANNEL_MULTIPLE * CHANNEL_MULTIPLE; }

// Squares are summed up by lanes within a row, as floats, and by rows as doubles.
inline double sum_of_squares(const float* row, int size) {
    Vector squares = {};
    int j = 0;
    for (; j + LANES <= size; j += LANES) squares += load(row + j) * load(row + j);
    float rest = 0;
    for (; j < size; j++) rest += row[j] * row[j];
    double sum = rest;
    for (int lane = 0; lane < LANES; lane++) sum += squares[lane];
    return sum;
}

// LANES rows become columns: pairs of rows, 1, 2, 4, ... apart, swap what is right of the diagonal with what is left of it.
inline void transpose_tile(const float* from, size_t from_stride, float* to, size_t to_stride) {
    Vector rows[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) rows[i] = load(from + i * from_stride);
#pragma GCC unroll 4
    for (int apart = 1; apart < LANES; apart *= 2) {
        Integers first, second;  // lanes of two rows, those of the second from LANES on
#pragma GCC unroll 16
        for (int lane = 0; lane < LANES; lane++) {
            first[lane] = lane & apart ? LANES + lane - apart : lane;
            second[lane] = lane & apart ? LANES + lane : lane + apart;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & apart) continue;
            const Vector upper = rows[i], lower = rows[i + apart];
            rows[i] = __builtin_shuffle(upper, lower, first);
            rows[i + apart] = __builtin_shuffle(upper, lower, second);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) store(to + i * to_stride, rows[i]);
}

// to[j * to_stride + i] = from[i * from_stride + j]
inline void transpose(const float* from, size_t from_stride, int rows, int columns, float* to, size_t to_stride) {
    const int whole_rows = rows / LANES * LANES, whole_columns = columns / LANES * LANES;
    for (int i = 0; i < whole_rows; i += LANES)
        for (int j = 0; j < whole_columns; j += LANES)
            transpose_tile(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    for (int i = 0; i < rows; i++)
        for (int j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            to[j * to_stride + i] = from[i * from_stride + j];
}

// Square matrices [size, whole_groups(size)]: polynomials of one Gram matrix, which commute and are symmetric to the bit:
// the iteration would enlarge what differs.
struct Squares {
    int size;

    int width() const { return whole_groups(size); }
    size_t floats() const { return static_cast<size_t>(size) * width(); }

    // result = left^T * right for left and right [depth, size] whose product is symmetric: half of it is computed.
    void multiply_symmetric(Left left, const float* right, float* result, int depth) const {
        const size_t stride = width();
        for (int begin = 0; begin < depth; begin += DEPTH_AT_ONCE)
            for (int i = 0; i < size; i += ROWS_AT_ONCE) {
                const Left from{left.values + begin * left.column + i * left.row, left.row, left.column};
                float* to = result + static_cast<size_t>(i) * width() + i;
                multiply(from, right + static_cast<size_t>(begin) * width() + i, to, begin ? to : nullptr,
                         std::min(ROWS_AT_ONCE, size - i), width() - i, std::min(DEPTH_AT_ONCE, depth - begin), width());
            }
        for (int i = 0; i < size; i += ROWS_AT_ONCE) {
            const int next = std::min(i + ROWS_AT_ONCE, size);
            transpose(result + i * stride + next, stride, next - i, size - next, result + next * stride + i, stride);
            for (int k = i; k < next; k++)
                for (int j = i; j < k; j++) result[k * stride + j] = result[j * stride + k];
        }
    }
    void multiply_symmetric(const float* left, const float* right, float* result) const {
        multiply_symmetric({left, 1, static_cast<size_t>(width())}, right, result, size);
    }

    // What the matrix that `gram` belongs to is to be multiplied by; `gram` is the first of NUM_SQUARE_MATRICES.
    const float* newton_schulz(float* gram) const {
        float *polynomial = gram + floats(), *product = polynomial + floats(), *other = product + floats();
        float* square = other + floats();
        const auto [a, b, c] = NEWTON_SCHULZ;
        for (int step = 0; step < NUM_NEWTON_SCHULZ_STEPS; step++) {
            multiply_symmetric(gram, gram, square);
            for (size_t i = 0; i < floats(); i++) polynomial[i] = b * gram[i] + c * square[i];
            for (int i = 0; i < size; i++) polynomial[static_cast<size_t>(i) * width() + i] += a;
            if (step == 0) {
                std::memcpy(product, polynomial, floats() * sizeof(float));
            } else {
                multiply_symmetric(polynomial, product, other);
                std::swap(product, other);
            }
            if (step + 1 == NUM_NEWTON_SCHULZ_STEPS) break;
            multiply_symmetric(polynomial, gram, square);
            multiply_symmetric(square, polynomial, gram);
        }
        return product;
    }
};

// momentum = factor * momentum + gradient; update = gradient + factor * momentum, scaled to norm 1, in rows of
// whole_groups(columns).
inline void nesterov_update(const MuonFilter& filter, float factor, float* update) {
    const int width = whole_groups(filter.columns);
    double squares = 0;
    for (int i = 0; i < filter.rows; i++) {
        float* to = update + static_cast<size_t>(i) * width;
        float* momentum = filter.momentum + static_cast<size_t>(i) * filter.columns;
        const float* gradient = filter.gradient + static_cast<size_t>(i) * filter.columns;
        for (int j = 0; j < filter.columns; j++) {
            const float moved = factor * momentum[j] + gradient[j];
            momentum[j] = moved;
            to[j] = gradient[j] + factor * moved;
        }
        std::fill(to + filter.columns, to + width, 0.0f);
        squares += sum_of_squares(to, filter.columns);
    }
    const float scale = 1 / (static_cast<float>(std::sqrt(squares)) + SMALL_NORM);
    for (size_t i = 0; i < static_cast<size_t>(filter.rows) * width; i++) update[i] *= scale;
}

// weight = weight, scaled to the norm sqrt(rows), - lr * moved
inline void move_weight(const MuonFilter& filter, float lr, const float* moved) {
    double squares = 0;
    for (int i = 0; i < filter.rows; i++)
        squares += sum_of_squares(filter.weight + static_cast<size_t>(i) * filter.columns, filter.columns);
    const float norm = static_cast<float>(std::sqrt(squares));
    const float scale = std::sqrt(static_cast<float>(filter.rows)) / (norm < SMALL_NORM ? SMALL_NORM : norm);
    const int width = whole_groups(filter.columns);
    for (int i = 0; i < filter.rows; i++) {
        float* weight = filter.weight + static_cast<size_t>(i) * filter.columns;
        const float* by = moved + static_cast<size_t>(i) * width;
        for (int j = 0; j < filter.columns; j++) weight[j] = scale * weight[j] - lr * by[j];
    }
}

inline void muon_step(const MuonFilter& filter, float lr, float factor) {
    const int rows = filter.rows, columns = filter.columns, width = whole_groups(columns), height = whole_groups(rows);
    const bool is_tall = rows > columns;
    const Squares squares{filter.smaller()};
    const size_t size = std::max(static_cast<size_t>(rows) * width, static_cast<size_t>(columns) * height);
    AlignedBuffer scratch(2 * size + NUM_SQUARE_MATRICES * squares.floats());
    float *update = scratch.data(), *moved = update + size, *gram = moved + size;
    nesterov_update(filter, factor, update);
    if (!is_tall) {
        if (height > rows) std::fill(moved, moved + static_cast<size_t>(columns) * height, 0.0f);
        transpose(update, width, rows, columns, moved, height);
    }
    const float* by_depth = is_tall ? update : moved;
    squares.multiply_symmetric({by_depth, 1, static_cast<size_t>(squares.width())}, by_depth, gram,
                               std::max(rows, columns));
    const float* product = squares.newton_schulz(gram);
    if (is_tall)
        multiply({update, static_cast<size_t>(width), 1}, product, moved, nullptr, rows, width, columns, width);
    else
        multiply({product, 1, static_cast<size_t>(height)}, update, moved, nullptr, rows, width, rows, width);
    move_weight(filter, lr, moved);
}

// The most costly first: with the others, threads can be made equally busy. (By reference: a copy needs a symbol of
// libstdc++ that is newer than the wheels may ask for.)
inline void muon_steps(std::vector<MuonFilter>& filters, float lr, float factor, int num_threads) {
    std::stable_sort(filters.begin(), filters.end(),
                     [](const MuonFilter& a, const MuonFilter& b) { return a.cost() > b.cost(); });
#pragma omp parallel for schedule(dynamic, 1) num_threads(num_threads)
    for (size_t i = 0; i < filters.size(); i++) muon_step(filters[i], lr, factor);
}

}  // namespace
