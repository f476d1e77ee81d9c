// The steps of a convolution by Winograd's minimal filters, for a chunk of tiles: maps transformed, multiplied with
// transformed filters panel by panel, and transformed back.

#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "lanes.h"
#include "minimal_filters.h"
#include "panels.h"
#include "tiles.h"
#include "vectors.h"

namespace {

// The values [i][j] of a tile that lie where `at` says.
template <bool is_short, int side, typename Stored>
inline __attribute__((always_inline)) void load_tile(const Stored* const (&at)[side * side], int first, int channels,
                                                     Vector (&values)[side][side]) {
#pragma GCC unroll 6
    for (int i = 0; i < side; i++)
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) values[i][j] = load_some<is_short>(at[i * side + j] + first, channels);
}
// The same for a tile's frequencies, which lie `step` apart.
template <int side>
inline __attribute__((always_inline)) void load_frequencies(const float* from, size_t step,
                                                            Vector (&values)[side][side]) {
#pragma GCC unroll 6
    for (int i = 0; i < side; i++)
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) values[i][j] = load(from + (i * side + j) * step);
}
template <int side>
inline __attribute__((always_inline)) void store_frequencies(const Vector (&values)[side][side], float* to,
                                                             size_t step) {
#pragma GCC unroll 6
    for (int i = 0; i < side; i++)
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) store(to + (i * side + j) * step, values[i][j]);
}

// One convolution's shape, tiles and memory, for maps stored as Stored.
template <typename Filter, typename Stored>
struct MapTransforms {
    static constexpr int OUT = Filter::OUT, IN = Filter::IN, FREQUENCIES = IN * IN;

    Shape shape;
    Tiling<Filter> tiling;
    Lanes in, out;
    size_t in_plane, out_plane;

    explicit MapTransforms(const Shape& shape)
        : shape(shape),
          tiling(shape),
          in{shape.in},
          out{shape.out},
          in_plane(plane_of(tiling.most_tiles(), in.positions())),
          out_plane(plane_of(tiling.most_tiles(), out.positions())) {}

    size_t in_image() const { return static_cast<size_t>(shape.h) * shape.w * shape.in; }
    size_t out_image() const { return static_cast<size_t>(shape.out_h()) * shape.out_w() * shape.out; }
    size_t filter_size() const { return static_cast<size_t>(FREQUENCIES) * in.positions() * out.positions(); }

    // Bt x B of some tiles of the images at x
    void transform_input(const Stored* x, int first, int tiles, float* transformed) const {
        const std::vector<Stored> zeros(std::max(shape.in, LANES));
        tiling.template over_tiles<IN, false>(
            tiling.in_offsets, first, tiles, x, in_image(), shape.in,
            [&](int tile, const Stored* image, const int* offsets) {
                const Stored* at[FREQUENCIES];
                locate(image, offsets, zeros.data(), at);
                over_vectors(in, [&](auto is_short, int vector, int c) {
                    Vector values[IN][IN], result[IN][IN];
                    load_tile<is_short>(at, c, shape.in, values);
                    along_both(values, result, Filter::input);
                    store_frequencies(result, transformed + static_cast<size_t>(tile) * in.positions() + vector * LANES,
                                      in_plane);
                });
            });
    }

    // A dy At of some tiles; adds dy to `bias_sums` [position], tile by tile
    void transform_grad_out(const Stored* grad_out, int first, int tiles, float* transformed, float* bias_sums) const {
        const std::vector<Stored> zeros(std::max(shape.out, LANES));
        tiling.template over_tiles<OUT, false>(
            tiling.out_offsets, first, tiles, grad_out, out_image(), shape.out,
            [&](int tile, const Stored* image, const int* offsets) {
                const Stored* at[OUT * OUT];
                locate(image, offsets, zeros.data(), at);
                over_vectors(out, [&](auto is_short, int vector, int c) {
                    Vector values[OUT][OUT], result[IN][IN];
                    load_tile<is_short>(at, c, shape.out, values);
                    if (bias_sums) {
                        Vector sum{};
#pragma GCC unroll 4
                        for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
                            for (int j = 0; j < OUT; j++) sum += values[i][j];
                        float* to = bias_sums + vector * LANES;
                        store(to, load(to) + sum);
                    }
                    along_both(values, result, Filter::output_adjoint);
                    store_frequencies(
                        result, transformed + static_cast<size_t>(tile) * out.positions() + vector * LANES, out_plane);
                });
            });
    }

    // One panel of all frequencies' products of tiles and filters: [tile][frequency][panel's width]
    void multiply_panel(const float* maps, size_t plane, int depth, const float* filters, int vectors, int tiles,
                        float* products) const {
        const size_t width = static_cast<size_t>(vectors) * LANES;
        for (int f = 0; f < FREQUENCIES; f++) {
            const Product p{maps + f * plane,     static_cast<size_t>(depth), 1,    filters + f * depth * width, width,
                            products + f * width, FREQUENCIES * width,        depth};
            if (vectors == 2)
                product<2, false>(p, tiles);
            else
                product<1, false>(p, tiles);
        }
    }

    // At m A of one panel of the products, and the bias, into the images at y
    void transform_output(const float* products, int vectors, int first_vector, int first, int tiles, const float* bias,
                          Stored* y) const {
        const int begin = out.first(first_vector);
        std::vector<Stored> outside(2 * LANES);
        tiling.template over_tiles<OUT, true>(
            tiling.out_offsets, first, tiles, y + begin, out_image(), vectors * LANES,
            [&](int tile, Stored* image, const int* offsets) {
                Stored* at[OUT * OUT];
                locate(image, offsets, outside.data(), at);
                for (int v = 0; v < vectors; v++) {
                    const int c = out.first(first_vector + v) - begin;
                    Vector values[IN][IN], result[OUT][OUT];
                    load_frequencies(products + (static_cast<size_t>(tile) * FREQUENCIES * vectors + v) * LANES,
                                     static_cast<size_t>(vectors) * LANES, values);
                    along_both(values, result, Filter::output);
                    const Vector shift = bias ? load(bias + (first_vector + v) * LANES) : Vector{};
#pragma GCC unroll 4
                    for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
                        for (int j = 0; j < OUT; j++) {
                            if (out.is_short())
                                store_short(at[i * OUT + j], result[i][j] + shift, shape.out);
                            else
                                store(at[i * OUT + j] + c, result[i][j] + shift);
                        }
                }
            });
    }

    // B m Bt of one panel of the products, added to the images at `sums`
    void add_input_adjoint(const float* products, int vectors, int first_vector, int first, int tiles,
                           float* sums) const {
        const int begin = in.first(first_vector);
        float outside[2 * LANES] = {};
        tiling.template over_tiles<IN, true>(
            tiling.in_offsets, first, tiles, sums + begin, in_image(), 0,
            [&](int tile, float* image, const int* offsets) {
                float* at[FREQUENCIES];
                locate(image, offsets, outside, at);
                for (int v = 0; v < vectors; v++) {
                    const int c = in.first(first_vector + v) - begin;
                    Vector values[IN][IN], result[IN][IN];
                    load_frequencies(products + (static_cast<size_t>(tile) * FREQUENCIES * vectors + v) * LANES,
                                     static_cast<size_t>(vectors) * LANES, values);
                    along_both(values, result, Filter::input_adjoint);
#pragma GCC unroll 6
                    for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                        for (int j = 0; j < IN; j++) {
                            float* to = at[i * IN + j] + c;
                            if (in.is_short())
                                store_short(to, load_short(to, shape.in) + result[i][j], shape.in);
                            else
                                store(to, load(to) + result[i][j]);
                        }
                }
            });
    }

    // gradient[frequency][out position][in position] (+)= slopes' transposed times inputs
    void multiply_transposed(const float* slopes, const float* inputs, int tiles, float* gradient, bool adds) const {
        const size_t rows = out.positions(), width = in.positions();
        for (int f = 0; f < FREQUENCIES; f++)
            for (int vector = 0; vector < in.vectors(); vector += 2) {
                const Product p{slopes + f * out_plane,
                                1,
                                rows,
                                inputs + f * in_plane + vector * LANES,
                                width,
                                gradient + f * rows * width + vector * LANES,
                                width,
                                tiles};
                const bool is_wide = in.vectors() - vector > 1;
                if (is_wide)
                    adds ? product<2, true>(p, static_cast<int>(rows)) : product<2, false>(p, static_cast<int>(rows));
                else
                    adds ? product<1, true>(p, static_cast<int>(rows)) : product<1, false>(p, static_cast<int>(rows));
            }
    }
};

}  // namespace
