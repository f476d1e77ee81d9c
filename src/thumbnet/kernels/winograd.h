// Convolutions of 3x3 with stride 1 by Winograd's minimal filters: forward, and both gradients in one pass.
//
// A map is cut into tiles of m x m results (m: 4, 3 or 2), each from (m + 2) x (m + 2) values. These are transformed,
// multiplied with the transformed filters (one matrix product a frequency) and transformed back: for m = 4 with 36
// products where 144 are needed otherwise. The data gradient is the adjoint of the same steps, so it shares the
// transformed grad_out with the weight gradient. A convolution dilated by d is d x d interleaved ones ("phases").
//
// Work goes through the cache by chunks of tiles. Transformed maps are [frequency][tile][position] ("plane" floats a
// frequency), transformed filters [panel][frequency][position][panel's width]; see lanes.h for positions.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lanes.h"
#include "minimal_filters.h"
#include "panels.h"
#include "parts.h"
#include "storage.h"
#include "vectors.h"

namespace {

constexpr int LINE = 16;  // floats in a cache line
constexpr int TAPS_A_SIDE = 3, NUM_TAPS = 9;
constexpr int MAX_CHUNK = 48;         // tiles
constexpr int MIN_TILES_A_PART = 64;  // of a weight gradient, whose sums are summed up part by part

// Maps [n, h, w, in] to [n, out_h, out_w, out].
struct Shape {
    int n, h, w, in, out, padding, dilation;

    int out_h() const { return h + 2 * padding - 2 * dilation; }
    int out_w() const { return w + 2 * padding - 2 * dilation; }
};

// The weights' layout, [out][in][3][3] by their strides, which their gradient has, too.
struct Strides {
    int64_t out, in, tap;
};

// All tiles of an image, where their values lie in its map and its result, and how many of which images make up a chunk.
template <typename Filter>
struct Tiling {
    static constexpr int OUT = Filter::OUT, IN = Filter::IN, OUTSIDE = -1;

    std::vector<int> in_offsets, out_offsets;  // [tile][IN * IN] and [tile][OUT * OUT], in values; or OUTSIDE

    explicit Tiling(const Shape& shape) {
        const int step = shape.dilation;
        for (int phase_y = 0; phase_y < step; phase_y++)
            for (int phase_x = 0; phase_x < step; phase_x++)
                for (int y = phase_y; y < shape.out_h(); y += OUT * step)
                    for (int x = phase_x; x < shape.out_w(); x += OUT * step) {
                        add(in_offsets, IN, step, y - shape.padding, x - shape.padding, shape.h, shape.w, shape.in);
                        add(out_offsets, OUT, step, y, x, shape.out_h(), shape.out_w(), shape.out);
                    }
    }
    int tiles() const { return static_cast<int>(in_offsets.size()) / (IN * IN); }
    int images_a_group() const { return std::max(1, MAX_CHUNK / std::max(1, tiles())); }
    int most_tiles() const { return std::min(MAX_CHUNK, images_a_group() * tiles()); }

    // work(first_image, images) for groups of images, evenly cut
    template <typename Work>
    void over_groups(int first, int last, const Work& work) const {
        const int num_groups = (last - first + images_a_group() - 1) / images_a_group();
        for (int group = 0; group < num_groups; group++) {
            const int begin = first + static_cast<int>(static_cast<int64_t>(last - first) * group / num_groups);
            const int end = first + static_cast<int>(static_cast<int64_t>(last - first) * (group + 1) / num_groups);
            work(begin, end - begin);
        }
    }
    // work(first_tile, tiles) for chunks of a group's tiles, evenly cut
    template <typename Work>
    void over_chunks(int images, const Work& work) const {
        const int total = images * tiles(), num_chunks = (total + MAX_CHUNK - 1) / MAX_CHUNK;
        for (int chunk = 0; chunk < num_chunks; chunk++) {
            const int begin = total * chunk / num_chunks, end = total * (chunk + 1) / num_chunks;
            work(begin, end - begin);
        }
    }
    // work(tile of the chunk, its image's values, its offsets) for a chunk's tiles
    template <int size, typename Values, typename Work>
    void over_tiles(const std::vector<int>& offsets, int first, int count, Values* values, size_t image_size,
                    const Work& work) const {
        int in_image = first % tiles();
        values += first / tiles() * image_size;
        for (int tile = 0; tile < count; tile++) {
            work(tile, values, offsets.data() + in_image * size * size);
            if (++in_image < tiles()) continue;
            in_image = 0;
            values += image_size;
        }
    }

   private:
    static void add(std::vector<int>& offsets, int size, int step, int y, int x, int height, int width, int channels) {
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) {
                const int row = y + i * step, column = x + j * step;
                const bool is_inside = row >= 0 && row < height && column >= 0 && column < width;
                offsets.push_back(is_inside ? (row * width + column) * channels : OUTSIDE);
            }
    }
};

template <int size, typename Values>
inline __attribute__((always_inline)) void locate(Values* image, const int* offsets, Values* outside, Values* (&at)[size]) {
#pragma GCC unroll 36
    for (int i = 0; i < size; i++) at[i] = offsets[i] < 0 ? outside : image + offsets[i];
}

// work(vector, first channel, is_short, channels) for each vector of channels
template <typename Work>
inline void over_vectors(const Lanes& lanes, const Work& work) {
    if (lanes.is_short()) return work(std::true_type(), 0, 0);
    for (int vector = 0; vector < lanes.vectors(); vector++) work(std::false_type(), vector, lanes.first(vector));
}

template <bool is_short, typename Stored>
inline Vector load_some(const Stored* from, int channels) {
    if constexpr (is_short) return load_short(from, channels);
    return load(from);
}
template <bool is_short, typename Stored>
inline void store_some(Stored* to, Vector values, int channels) {
    if constexpr (is_short) return store_short(to, values, channels);
    store(to, values);
}

// A plane's floats: an odd number of cache lines, or the planes would fall into the same few sets of a cache.
inline size_t plane_of(int tiles, int positions) {
    const size_t lines = (static_cast<size_t>(tiles) * positions + LINE - 1) / LINE;
    return (lines | 1) * LINE;
}

// One convolution's shape, tiles and memory, for maps stored as Stored.
template <typename Filter, typename Stored>
struct Winograd {
    static constexpr int OUT = Filter::OUT, IN = Filter::IN, FREQUENCIES = IN * IN;

    Shape shape;
    Tiling<Filter> tiling;
    Lanes in, out;
    size_t in_plane, out_plane;

    explicit Winograd(const Shape& shape)
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
        tiling.template over_tiles<IN>(tiling.in_offsets, first, tiles, x, in_image(), [&](int tile, const Stored* image, const int* offsets) {
            const Stored* at[FREQUENCIES];
            locate(image, offsets, zeros.data(), at);
            over_vectors(in, [&](auto is_short, int vector, int c) {
                Vector values[IN][IN], result[IN][IN];
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                    for (int j = 0; j < IN; j++) values[i][j] = load_some<is_short>(at[i * IN + j] + c, shape.in);
                along_both(values, result, Filter::input);
                float* to = transformed + static_cast<size_t>(tile) * in.positions() + vector * LANES;
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                    for (int j = 0; j < IN; j++) store(to + (i * IN + j) * in_plane, result[i][j]);
            });
        });
    }

    // A dy At of some tiles; adds dy to `bias_sums` [position]
    void transform_grad_out(const Stored* grad_out, int first, int tiles, float* transformed, float* bias_sums) const {
        const std::vector<Stored> zeros(std::max(shape.out, LANES));
        tiling.template over_tiles<OUT>(tiling.out_offsets, first, tiles, grad_out, out_image(), [&](int tile, const Stored* image, const int* offsets) {
            const Stored* at[OUT * OUT];
            locate(image, offsets, zeros.data(), at);
            over_vectors(out, [&](auto is_short, int vector, int c) {
                Vector values[OUT][OUT], result[IN][IN];
#pragma GCC unroll 4
                for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
                    for (int j = 0; j < OUT; j++) values[i][j] = load_some<is_short>(at[i * OUT + j] + c, shape.out);
                if (bias_sums) {
                    Vector sum = load(bias_sums + vector * LANES);
#pragma GCC unroll 4
                    for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
                        for (int j = 0; j < OUT; j++) sum += values[i][j];
                    store(bias_sums + vector * LANES, sum);
                }
                along_both(values, result, Filter::output_adjoint);
                float* to = transformed + static_cast<size_t>(tile) * out.positions() + vector * LANES;
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                    for (int j = 0; j < IN; j++) store(to + (i * IN + j) * out_plane, result[i][j]);
            });
        });
    }

    // One panel of all frequencies' products of tiles and filters: [tile][frequency][panel's width]
    void multiply_panel(const float* maps, size_t plane, int depth, const float* filters, int vectors, int tiles,
                        float* products) const {
        const size_t width = static_cast<size_t>(vectors) * LANES;
        for (int f = 0; f < FREQUENCIES; f++) {
            const Product p{maps + f * plane, static_cast<size_t>(depth), 1, filters + f * depth * width, width,
                            products + f * width, FREQUENCIES * width, depth};
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
        tiling.template over_tiles<OUT>(tiling.out_offsets, first, tiles, y + begin, out_image(), [&](int tile, Stored* image, const int* offsets) {
            Stored* at[OUT * OUT];
            locate(image, offsets, outside.data(), at);
            for (int v = 0; v < vectors; v++) {
                const int c = out.first(first_vector + v) - begin;
                const float* from = products + static_cast<size_t>(tile) * FREQUENCIES * vectors * LANES + v * LANES;
                Vector values[IN][IN], result[OUT][OUT];
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                    for (int j = 0; j < IN; j++) values[i][j] = load(from + (i * IN + j) * vectors * LANES);
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
        tiling.template over_tiles<IN>(tiling.in_offsets, first, tiles, sums + begin, in_image(), [&](int tile, float* image, const int* offsets) {
            float* at[FREQUENCIES];
            locate(image, offsets, outside, at);
            for (int v = 0; v < vectors; v++) {
                const int c = in.first(first_vector + v) - begin;
                const float* from = products + static_cast<size_t>(tile) * FREQUENCIES * vectors * LANES + v * LANES;
                Vector values[IN][IN], result[IN][IN];
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                    for (int j = 0; j < IN; j++) values[i][j] = load(from + (i * IN + j) * vectors * LANES);
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

    // Nine taps of LANES filters, for output channels from `vector` on and one input channel, or the other way round
    void gather_taps(const float* weights, const Strides& strides, const Lanes& lanes, int vector, int64_t lane_stride,
                     int64_t other, Vector (&taps)[TAPS_A_SIDE][TAPS_A_SIDE]) const {
        alignas(64) float values[NUM_TAPS][LANES] = {};
        const int first = lanes.first(vector), count = std::min(LANES, lanes.channels);
        for (int lane = 0; lane < count; lane++)
            for (int tap = 0; tap < NUM_TAPS; tap++)
                values[tap][lane] = with_usual_nan(weights[(first + lane) * lane_stride + other + tap * strides.tap]);
        for (int tap = 0; tap < NUM_TAPS; tap++) taps[tap / TAPS_A_SIDE][tap % TAPS_A_SIDE] = load(values[tap]);
    }

    // G g Gt as panels along `lanes`: [panel][frequency][depth position][panel's width]. A depth position that repeats a
    // channel is zero; so is, if `zero_repeated`, a lane that does.
    void transform_filters(const float* weights, const Strides& strides, bool along_out, bool zero_repeated,
                           float* filters, int num_threads) const {
        const Lanes &lanes = along_out ? out : in, &deep = along_out ? in : out;
        const int64_t lane_stride = along_out ? strides.out : strides.in, deep_stride = along_out ? strides.in : strides.out;
        const int depth = deep.positions(), vectors = lanes.vectors();
#pragma omp parallel for schedule(static) num_threads(num_threads)
        for (int vector = 0; vector < vectors; vector++) {
            const int panel = vector / 2, width = std::min(2, vectors - 2 * panel) * LANES;
            float* to = filters + static_cast<size_t>(panel) * FREQUENCIES * depth * 2 * LANES + vector % 2 * LANES;
            Vector kept = {};
            for (int lane = 0; lane < LANES; lane++) kept[lane] = lanes.is_first(vector * LANES + lane);
            for (int k = 0; k < depth; k++) {
                Vector taps[TAPS_A_SIDE][TAPS_A_SIDE] = {}, result[IN][IN];
                if (deep.is_first(k))
                    gather_taps(weights, strides, lanes, vector, lane_stride, deep.channel(k) * deep_stride, taps);
                along_both(taps, result, Filter::filter);
                for (int i = 0; i < IN; i++)
                    for (int j = 0; j < IN; j++) {
                        const size_t f = i * IN + j;
                        store(to + (f * depth + k) * width, zero_repeated ? kept != 0 ? result[i][j] : Vector{} : result[i][j]);
                    }
            }
        }
    }

    // Memory for the chunks of one thread's forward pass.
    struct ForwardBuffers {
        AlignedBuffer transformed, products;
        explicit ForwardBuffers(const Winograd& c)
            : transformed(FREQUENCIES * c.in_plane),
              products(static_cast<size_t>(c.tiling.most_tiles()) * FREQUENCIES * 2 * LANES) {}
    };

    // The same for both gradients; `gradient` is of the transformed filters, summed up over chunks.
    struct BackwardBuffers {
        AlignedBuffer slopes, inputs, products, gradient, sums;
        bool has_gradient = false;
        BackwardBuffers(const Winograd& c, bool wants_weights, bool wants_maps)
            : slopes(FREQUENCIES * c.out_plane),
              inputs(wants_weights ? FREQUENCIES * c.in_plane : 0),
              products(static_cast<size_t>(c.tiling.most_tiles()) * FREQUENCIES * 2 * LANES),
              gradient(wants_weights ? c.filter_size() : 0),
              sums(std::is_same_v<Stored, float> || !wants_maps ? 0 : c.tiling.images_a_group() * c.in_image()) {}
    };

    // The results y of a group of images x. `bias` [position] may be null.
    void forward_group(const Stored* x, int images, const float* filters, const float* bias, Stored* y,
                       ForwardBuffers& buffers) const {
        tiling.over_chunks(images, [&](int first, int tiles) {
            transform_input(x, first, tiles, buffers.transformed.data());
            for (int vector = 0; vector < out.vectors(); vector += 2) {
                const int vectors = std::min(2, out.vectors() - vector);
                multiply_panel(buffers.transformed.data(), in_plane, in.positions(),
                               filters + static_cast<size_t>(vector) * LANES * FREQUENCIES * in.positions(), vectors,
                               tiles, buffers.products.data());
                transform_output(buffers.products.data(), vectors, vector, first, tiles, bias, y);
            }
        });
    }

    // A group's share of the gradients: that of x, added to `shortcut_gradient` (or 0), and those of weights and bias
    // [position], added to what `buffers` and `bias_sums` have. Without `filters` x gets none.
    void backward_group(const Stored* grad_out, const Stored* x, int images, const float* filters,
                        const Stored* shortcut_gradient, Stored* x_gradient, bool wants_weights, float* bias_sums,
                        BackwardBuffers& buffers) const {
        float* sums = filters ? compute_in(x_gradient, buffers.sums.data()) : nullptr;
        if (filters) start_sums(sums, shortcut_gradient, images * in_image());
        tiling.over_chunks(images, [&](int first, int tiles) {
            transform_grad_out(grad_out, first, tiles, buffers.slopes.data(), bias_sums);
            if (wants_weights) {
                transform_input(x, first, tiles, buffers.inputs.data());
                multiply_transposed(buffers.slopes.data(), buffers.inputs.data(), tiles, buffers.gradient.data(),
                                    buffers.has_gradient);
                buffers.has_gradient = true;
            }
            for (int vector = 0; filters && vector < in.vectors(); vector += 2) {
                const int vectors = std::min(2, in.vectors() - vector);
                multiply_panel(buffers.slopes.data(), out_plane, out.positions(),
                               filters + static_cast<size_t>(vector) * LANES * FREQUENCIES * out.positions(), vectors,
                               tiles, buffers.products.data());
                add_input_adjoint(buffers.products.data(), vectors, vector, first, tiles, sums);
            }
        });
        if (filters) store_floats(x_gradient, sums, images * in_image());
    }

    // bias by position
    void place_bias(const float* bias, float* shifts) const {
        for (int at = 0; at < out.positions(); at++)
            shifts[at] = out.channel(at) < shape.out ? bias[out.channel(at)] : 0;
    }

    void forward(const Stored* x, const float* weights, const Strides& strides, const float* bias, Stored* y,
                 int num_threads) const {
        AlignedBuffer filters(filter_size()), shifts(out.positions());
        transform_filters(weights, strides, true, false, filters.data(), num_threads);
        if (bias) place_bias(bias, shifts.data());
        over_images(shape.n, num_threads, [&](int, int first, int last) {
            ForwardBuffers buffers(*this);
            tiling.over_groups(first, last, [&](int image, int images) {
                forward_group(x + image * in_image(), images, filters.data(), bias ? shifts.data() : nullptr,
                              y + image * out_image(), buffers);
            });
        });
    }

    // Any of the gradients may be null. `slopes_of(part's scratch, image, images)` gives where a group's grad_out is.
    template <typename SlopesOf>
    void backward(const SlopesOf& slopes_of, size_t scratch_size, const Stored* x, const float* weights,
                  const Strides& strides, const Stored* shortcut_gradient, Stored* x_gradient, float* weight_gradient,
                  float* bias_gradient, int num_threads) const {
        AlignedBuffer filters(x_gradient ? filter_size() : 0);
        if (x_gradient) transform_filters(weights, strides, false, true, filters.data(), num_threads);
        const int num_parts = parts_for_gradient();
        const size_t part_size = static_cast<size_t>(shape.out) * NUM_TAPS * in.positions();
        const size_t bias_size = out.positions();
        AlignedBuffer parts(weight_gradient ? part_size * num_parts : 0), bias_parts(bias_size * num_parts);
        std::memset(bias_parts.data(), 0, bias_size * num_parts * sizeof(float));
        over_parts(shape.n, num_parts, num_threads, [&](int part, int first, int last) {
            BackwardBuffers buffers(*this, weight_gradient, x_gradient);
            AlignedBuffer scratch(scratch_size);
            tiling.over_groups(first, last, [&](int image, int images) {
                const size_t at = image * in_image();
                backward_group(slopes_of(scratch.data(), image, images), x + at, images,
                               x_gradient ? filters.data() : nullptr, shortcut_gradient ? shortcut_gradient + at : nullptr,
                               x_gradient ? x_gradient + at : nullptr, weight_gradient,
                               bias_gradient ? bias_parts.data() + bias_size * part : nullptr, buffers);
            });
            if (weight_gradient) transform_gradient(buffers.gradient.data(), parts.data() + part_size * part);
        });
        if (weight_gradient) sum_parts(parts.data(), part_size, num_parts, strides, weight_gradient, num_threads);
        for (int at = 0; bias_gradient && at < out.positions(); at++) {
            float sum = 0;
            for (int part = 0; part < num_parts; part++) sum += bias_parts.data()[bias_size * part + at];
            if (out.channel(at) < shape.out) bias_gradient[out.channel(at)] = sum;
        }
    }

   private:
    // As many as give each enough tiles to be worth its own sums: what the shape tells, not the number of threads
    int parts_for_gradient() const {
        int num_parts = MAX_PARTS;
        while (num_parts > 1 && (num_parts > shape.n || static_cast<int64_t>(shape.n) * tiling.tiles() < static_cast<int64_t>(num_parts) * MIN_TILES_A_PART))
            num_parts /= 2;
        return num_parts;
    }

    // gradient[frequency][out position][in position] (+)= slopes' transposed times inputs
    void multiply_transposed(const float* slopes, const float* inputs, int tiles, float* gradient, bool adds) const {
        const size_t rows = out.positions(), width = in.positions();
        for (int f = 0; f < FREQUENCIES; f++)
            for (int vector = 0; vector < in.vectors(); vector += 2) {
                const Product p{slopes + f * out_plane, 1, rows, inputs + f * in_plane + vector * LANES, width,
                                gradient + f * rows * width + vector * LANES, width, tiles};
                const bool is_wide = in.vectors() - vector > 1;
                if (is_wide)
                    adds ? product<2, true>(p, static_cast<int>(rows)) : product<2, false>(p, static_cast<int>(rows));
                else
                    adds ? product<1, true>(p, static_cast<int>(rows)) : product<1, false>(p, static_cast<int>(rows));
            }
    }

    // Gt u G: [frequency][out position][in position] to [out][tap][in position]
    void transform_gradient(const float* gradient, float* part) const {
        const size_t rows = out.positions(), width = in.positions();
        for (size_t row = 0; row < rows; row++) {
            if (!out.is_first(static_cast<int>(row))) continue;
            const size_t o = out.channel(static_cast<int>(row));
            for (int vector = 0; vector < in.vectors(); vector++) {
                Vector values[IN][IN], taps[TAPS_A_SIDE][TAPS_A_SIDE];
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                    for (int j = 0; j < IN; j++)
                        values[i][j] = load(gradient + ((i * IN + j) * rows + row) * width + vector * LANES);
                along_both(values, taps, Filter::filter_adjoint);
                float* to = part + o * NUM_TAPS * width + vector * LANES;
                for (int tap = 0; tap < NUM_TAPS; tap++)
                    store(to + tap * width, taps[tap / TAPS_A_SIDE][tap % TAPS_A_SIDE]);
            }
        }
    }

    void sum_parts(float* parts, size_t part_size, int num_parts, const Strides& strides, float* weight_gradient,
                   int num_threads) const {
        const int width = in.positions(), lines = shape.out * NUM_TAPS;
#pragma omp parallel for schedule(static) num_threads(num_threads)
        for (int line = 0; line < lines; line++) {
            float* sums = parts + static_cast<size_t>(line) * width;
            for (int part = 1; part < num_parts; part++)
                for (int at = 0; at < width; at += LANES) store(sums + at, load(sums + at) + load(sums + part * part_size + at));
            float* to = weight_gradient + line / (NUM_TAPS) * strides.out + line % (NUM_TAPS) * strides.tap;
            for (int at = 0; at < width; at++)
                if (in.channel(at) < shape.in) to[in.channel(at) * strides.in] = sums[at];
        }
    }

    static void start_sums(float* sums, const Stored* shortcut_gradient, size_t size) {
        if (!shortcut_gradient) {
            std::memset(sums, 0, size * sizeof(float));
        } else if constexpr (std::is_same_v<Stored, float>) {
            std::memcpy(sums, shortcut_gradient, size * sizeof(float));
        } else {
            size_t at = 0;
            for (; at + LANES <= size; at += LANES) store(sums + at, load(shortcut_gradient + at));
            const int rest = static_cast<int>(size - at);
            if (rest) store_short(sums + at, load_short(shortcut_gradient + at, rest), rest);
        }
    }

    static void store_floats(float*, const float*, size_t) {}
    static void store_floats(Bfloat16* to, const float* from, size_t size) {
        size_t at = 0;
        for (; at + LANES <= size; at += LANES) store(to + at, load(from + at));
        if (at < size) store_short(to + at, load_short(from + at, static_cast<int>(size - at)), static_cast<int>(size - at));
    }
};

// work(convolution) with the tiles that need the fewest products
template <typename Stored, typename Work>
void with_fewest_products(const Shape& shape, const Work& work) {
    const auto products = [&](int m) {
        int64_t tiles = 1;
        for (const int size : {shape.out_h(), shape.out_w()}) {
            int64_t along = 0;
            for (int phase = 0; phase < std::min(shape.dilation, size); phase++) along += ((size - phase + shape.dilation - 1) / shape.dilation + m - 1) / m;
            tiles *= along;
        }
        return tiles * (m + 2) * (m + 2);
    };
    if (products(2) <= std::min(products(3), products(4)))
        work(Winograd<F2, Stored>(shape));
    else if (products(3) <= products(4))
        work(Winograd<F3, Stored>(shape));
    else
        work(Winograd<F4, Stored>(shape));
}

template <typename Stored>
void convolution_forward(const Stored* x, const float* weights, const float* bias, Stored* y, const Shape& shape,
                         const Strides& strides, int num_threads) {
    with_fewest_products<Stored>(
        shape, [&](const auto& convolution) { convolution.forward(x, weights, strides, bias, y, num_threads); });
}

template <typename Stored>
void convolution_backward(const Stored* grad_out, const Stored* x, const float* weights, Stored* x_gradient,
                          float* weight_gradient, float* bias_gradient, const Shape& shape, const Strides& strides,
                          int num_threads) {
    with_fewest_products<Stored>(shape, [&](const auto& convolution) {
        convolution.backward(
            [&](float*, int image, int) { return grad_out + image * convolution.out_image(); }, 0, x, weights, strides,
            nullptr, x_gradient, weight_gradient, bias_gradient, num_threads);
    });
}

}  // namespace
