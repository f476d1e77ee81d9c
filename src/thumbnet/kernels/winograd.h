// Convolutions of 3x3 with stride 1 by Winograd's minimal filters: forward, and both gradients in one pass.
//
// A map is cut into tiles of m x m results (m: 4, 3 or 2), each from (m + 2) x (m + 2) values. These are transformed,
// multiplied with the transformed filters (one matrix product a frequency) and transformed back: for m = 4 with 36
// products where 144 are needed otherwise. The data gradient is the adjoint of the same steps, so it shares the
// transformed grad_out with the weight gradient. A convolution dilated by d is d x d interleaved ones ("sub-grids").
//
// Work goes through the cache by chunks of tiles. Transformed maps are [frequency][tile][position] ("plane" floats a
// frequency), transformed filters [panel][frequency][position][panel's width]; see lanes.h for positions.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "filter_transforms.h"
#include "map_transforms.h"
#include "minimal_filters.h"
#include "parts.h"
#include "storage.h"
#include "tiles.h"
#include "vectors.h"

namespace {

constexpr int MIN_TILES_A_PART = 64;  // of a weight gradient, whose sums are summed up part by part

// One convolution, for maps stored as Stored.
template <typename Filter, typename Stored>
struct Winograd : MapTransforms<Filter, Stored> {
    using Base = MapTransforms<Filter, Stored>;
    using Base::Base, Base::shape, Base::tiling, Base::in, Base::out, Base::in_plane, Base::out_plane;
    using Base::FREQUENCIES;
    using Base::in_image, Base::out_image, Base::filter_size, Base::transform_input, Base::transform_grad_out;
    using Base::multiply_panel, Base::multiply_transposed, Base::transform_output, Base::add_input_adjoint;

    // Memory for the chunks of one thread's forward pass.
    struct ForwardBuffers {
        AlignedBuffer transformed, products;
        explicit ForwardBuffers(const Winograd& c)
            : transformed(FREQUENCIES * c.in_plane),
              products(static_cast<size_t>(c.tiling.most_tiles()) * FREQUENCIES * 2 * LANES) {}
    };

    // The same for both gradients; `gradient` is of the transformed filters, summed up over chunks.
    struct BackwardBuffers {
        AlignedBuffer slopes, inputs, products, gradient, sums, bias;
        bool has_gradient = false;
        BackwardBuffers(const Winograd& c, bool wants_weights, bool wants_maps)
            : slopes(FREQUENCIES * c.out_plane),
              inputs(wants_weights ? FREQUENCIES * c.in_plane : 0),
              products(static_cast<size_t>(c.tiling.most_tiles()) * FREQUENCIES * 2 * LANES),
              gradient(wants_weights ? c.filter_size() : 0),
              sums(std::is_same_v<Stored, float> || !wants_maps ? 0 : c.tiling.images_a_group() * c.in_image()),
              bias(c.out.positions()) {}
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
    // [position], added to what `buffers` and `bias_sums` have. Without `filters` x gets none. A bias's sums are in
    // double precision, chunk by chunk: its addends may all be alike, and then so are their roundings.
    void backward_group(const Stored* grad_out, const Stored* x, int images, const float* filters,
                        const Stored* shortcut_gradient, Stored* x_gradient, bool wants_weights, double* bias_sums,
                        BackwardBuffers& buffers) const {
        float* sums = filters ? compute_in(x_gradient, buffers.sums.data()) : nullptr;
        if (filters) start_sums(sums, shortcut_gradient, images * in_image());
        tiling.over_chunks(images, [&](int first, int tiles) {
            float* bias = bias_sums ? buffers.bias.data() : nullptr;
            if (bias) std::memset(bias, 0, out.positions() * sizeof(float));
            transform_grad_out(grad_out, first, tiles, buffers.slopes.data(), bias);
            for (int at = 0; bias && at < out.positions(); at++) bias_sums[at] += bias[at];
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
            shifts[at] = out.channel(at) < shape.out ? with_usual_nan(bias[out.channel(at)]) : 0;
    }

    void transform_filters_forward(const float* weights, const Strides& strides, float* filters,
                                   int num_threads) const {
        transform_filters<Filter>(in, out, weights, strides, true, false, filters, num_threads);
    }

    void forward(const Stored* x, const float* weights, const Strides& strides, const float* bias, Stored* y,
                 int num_threads) const {
        AlignedBuffer filters(filter_size()), shifts(out.positions());
        transform_filters_forward(weights, strides, filters.data(), num_threads);
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
        if (x_gradient) transform_filters<Filter>(in, out, weights, strides, false, true, filters.data(), num_threads);
        const int num_parts = parts_for_gradient();
        const size_t part_size = static_cast<size_t>(shape.out) * NUM_TAPS * in.positions();
        const size_t bias_size = out.positions();
        AlignedBuffer parts(weight_gradient ? part_size * num_parts : 0);
        std::vector<double> bias_parts(bias_gradient ? bias_size * num_parts : 0);
        over_parts(shape.n, num_parts, num_threads, [&](int part, int first, int last) {
            BackwardBuffers buffers(*this, weight_gradient, x_gradient);
            AlignedBuffer scratch(scratch_size);
            tiling.over_groups(first, last, [&](int image, int images) {
                const size_t at = image * in_image();
                backward_group(
                    slopes_of(scratch.data(), image, images), x + at, images, x_gradient ? filters.data() : nullptr,
                    shortcut_gradient ? shortcut_gradient + at : nullptr, x_gradient ? x_gradient + at : nullptr,
                    weight_gradient, bias_gradient ? bias_parts.data() + bias_size * part : nullptr, buffers);
            });
            if (weight_gradient)
                transform_gradient<Filter>(in, out, buffers.gradient.data(), parts.data() + part_size * part);
        });
        if (weight_gradient)
            sum_parts(in, shape.out, parts.data(), part_size, num_parts, strides, weight_gradient, num_threads);
        for (int at = 0; bias_gradient && at < out.positions(); at++) {
            double sum = 0;
            for (int part = 0; part < num_parts; part++) sum += bias_parts[bias_size * part + at];
            if (out.channel(at) < shape.out) bias_gradient[out.channel(at)] = static_cast<float>(sum);
        }
    }

   private:
    // As many as give each enough tiles to be worth its own sums: what the shape tells, not the number of threads
    int parts_for_gradient() const {
        int num_parts = MAX_PARTS;
        while (num_parts > 1 && (num_parts > shape.n || static_cast<int64_t>(shape.n) * tiling.tiles() <
                                                            static_cast<int64_t>(num_parts) * MIN_TILES_A_PART))
            num_parts /= 2;
        return num_parts;
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
        if (at < size)
            store_short(to + at, load_short(from + at, static_cast<int>(size - at)), static_cast<int>(size - at));
    }
};

// work(convolution) with the tiles that need the fewest products
template <typename Stored, typename Work>
void with_fewest_products(const Shape& shape, const Work& work) {
    const auto products = [&](int m) {
        int64_t tiles = 1;
        for (const int size : {shape.out_h(), shape.out_w()}) {
            int64_t along = 0;
            for (int begin = 0; begin < std::min(shape.dilation, size); begin++)
                along += ((size - begin + shape.dilation - 1) / shape.dilation + m - 1) / m;
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
        convolution.backward([&](float*, int image, int) { return grad_out + image * convolution.out_image(); }, 0, x,
                             weights, strides, nullptr, x_gradient, weight_gradient, bias_gradient, num_threads);
    });
}

}  // namespace
