// A plain block: convolution of 3x3, pooling (with `largest`), norm, SiLU, shortcut. What stands between the
// convolution and the stored maps happens by groups of images, while they are in the cache.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "filters.h"
#include "norm.h"
#include "norm_passes.h"
#include "parts.h"
#include "storage.h"
#include "winograd.h"

namespace {

template <typename Stored>
void plain_forward(const Stored* x, const float* weights, const float* gamma, const float* beta, float* running_mean,
                   float* running_variance, double momentum, double epsilon, Stored* z, uint8_t* largest, Stored* y,
                   float* saved, const Shape& shape, const Strides& strides, int has_shortcut, int scores,
                   int num_threads) {
    const Norm norm(shape.out, saved);
    const Maps before{shape.out_h(), shape.out_w(), shape.out, nullptr, 1};
    const size_t rows = largest ? static_cast<size_t>(before.height / 2) * (before.width / 2) : before.pixels();
    if (scores) take_running_statistics<Stored>(norm, gamma, beta, running_mean, running_variance, epsilon);
    std::vector<double> sums(2 * static_cast<size_t>(shape.out) * parts_of(shape.n));
    with_fewest_products<Stored>(shape, [&](const auto& convolution) {
        AlignedBuffer filters(convolution.filter_size());
        convolution.transform_filters_forward(weights, strides, filters.data(), num_threads);
        const size_t group_size = largest ? convolution.tiling.images_a_group() * before.size() : 0;
        over_images(shape.n, num_threads, [&](int part, int first, int last) {
            typename std::decay_t<decltype(convolution)>::ForwardBuffers buffers(convolution);
            AlignedBuffer scratch(floats_for<Stored>(group_size));
            convolution.tiling.over_groups(first, last, [&](int image, int images) {
                Stored* to = z + image * rows * shape.out;
                Stored* t = largest ? reinterpret_cast<Stored*>(scratch.data()) : to;
                const Stored* from = x + image * convolution.in_image();
                convolution.forward_group(from, images, filters.data(), nullptr, t, buffers);
                for (int i = 0; i < images; i++) {
                    const size_t at = i * rows * shape.out;
                    if (largest) pool(before, t + i * before.size(), to + at, largest + image * rows * shape.out + at);
                    if (scores)
                        activate(norm, to + at, has_shortcut ? from + at : nullptr, to + at, rows);
                    else
                        add_moments(to + at, rows, shape.out, sums.data() + 2 * static_cast<size_t>(part) * shape.out);
                }
            });
        });
    });
    if (scores) return;
    finish_statistics<Stored>(norm, sums, parts_of(shape.n), static_cast<double>(shape.n) * rows, gamma, beta,
                              running_mean, running_variance, momentum, epsilon);
    activate_all(norm, z, has_shortcut ? x : nullptr, y, shape.n, rows, num_threads);
}

template <typename Stored>
void plain_backward(const Stored* grad_out, const Stored* x, const Stored* z, const uint8_t* largest,
                    const float* weights, float* saved, Stored* x_gradient, float* weight_gradient,
                    float* gamma_gradient, float* beta_gradient, const Shape& shape, const Strides& strides,
                    int has_shortcut, int num_threads) {
    const Norm norm(shape.out, saved);
    const Maps before{shape.out_h(), shape.out_w(), shape.out, nullptr, 1};
    const size_t rows = largest ? static_cast<size_t>(before.height / 2) * (before.width / 2) : before.pixels();
    const NormGradient<Stored> slopes =
        gradient_of_norm(norm, grad_out, z, gamma_gradient, beta_gradient, shape.n, rows, num_threads);
    with_fewest_products<Stored>(shape, [&](const auto& convolution) {
        const size_t group_size = floats_for<Stored>(convolution.tiling.images_a_group() * before.size());
        const auto slopes_of = [&](float* scratch, int image, int images) {
            Stored* dt = reinterpret_cast<Stored*>(scratch);
            float* pooled = scratch + group_size;
            for (int i = 0; i < images; i++) {
                const size_t at = (static_cast<size_t>(image) + i) * rows * shape.out;
                Stored* to = dt + i * before.size();
                if (!largest) {
                    slopes.apply(norm, grad_out + at, z + at, rows, to);
                    continue;
                }
                slopes.apply(norm, grad_out + at, z + at, rows, pooled);
                if (before.height % 2 || before.width % 2)
                    std::memset(static_cast<void*>(to), 0, before.size() * sizeof(Stored));
                unpool(before, pooled, largest + at, to);
            }
            return dt;
        };
        convolution.backward(slopes_of, group_size + (largest ? rows * shape.out : 0), x, weights, strides,
                             has_shortcut ? grad_out : nullptr, x_gradient, weight_gradient, nullptr, num_threads);
    });
}

}  // namespace
