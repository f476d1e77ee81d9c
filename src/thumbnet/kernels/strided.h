// A plain block whose convolution has stride 2 and padding 1, an image at a time, and before it, where it is a
// network's first, the whitening of patches and a ReLU.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "norm.h"
#include "norm_passes.h"
#include "panels.h"
#include "parts.h"
#include "phases.h"
#include "storage.h"
#include "tiles.h"
#include "vectors.h"

namespace {

// The filters as [tap][in][out's vectors], or [tap][out][in's vectors].
inline std::vector<float> strided_filters(const StridedShape& shape, const float* weights, const Strides& strides,
                                          bool by_in) {
    const int rows = by_in ? shape.in : shape.out, columns = by_in ? shape.out : shape.in,
              width = whole_vectors(columns);
    const int64_t row_stride = by_in ? strides.in : strides.out, column_stride = by_in ? strides.out : strides.in;
    std::vector<float> result(static_cast<size_t>(NUM_TAPS) * rows * width);
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                result[(static_cast<size_t>(tap) * rows + i) * width + j] =
                    with_usual_nan(weights[i * row_stride + j * column_stride + tap * strides.tap]);
    return result;
}

// One image's results [out_h][row][out's vectors] from its phases.
inline void strided_results(const StridedShape& shape, const float* phases, const float* filters, float* results) {
    const size_t in_width = shape.in_width(), width = shape.out_width();
    size_t taps[NUM_TAPS];
    for (int tap = 0; tap < NUM_TAPS; tap++) taps[tap] = shape.tap(tap);
    for (size_t c = 0; c < width; c += 2 * LANES) {
        const Product p{phases, in_width, 1, filters + c, width, results + c, width, shape.in, taps, NUM_TAPS};
        c + LANES < width ? product<2, false>(p, shape.result_pixels()) : product<1, false>(p, shape.result_pixels());
    }
}

// sums[tap][in][out's vectors] += one image's share of the weight gradient, from its phases and slopes
inline void add_strided_gradient(const StridedShape& shape, const float* phases, const float* slopes, float* sums) {
    const size_t in_width = shape.in_width(), width = shape.out_width();
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (size_t c = 0; c < width; c += 2 * LANES) {
            const Product p{phases + shape.tap(tap),
                            1,
                            in_width,
                            slopes + c,
                            width,
                            sums + static_cast<size_t>(tap) * shape.in * width + c,
                            width,
                            shape.result_pixels()};
            c + LANES < width ? product<2, true>(p, shape.in) : product<1, true>(p, shape.in);
        }
}

// The gradient of an image's phases, by filters [tap][out][in's vectors]
inline void strided_adjoint(const StridedShape& shape, const float* slopes, const float* filters, float* phases) {
    const size_t in_width = shape.in_width(), width = shape.out_width();
    std::memset(phases, 0, shape.phases_size() * sizeof(float));
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (size_t c = 0; c < in_width; c += 2 * LANES) {
            const Product p{slopes,   width,
                            1,        filters + static_cast<size_t>(tap) * shape.out * in_width + c,
                            in_width, phases + shape.tap(tap) + c,
                            in_width, shape.out};
            c + LANES < in_width ? product<2, true>(p, shape.result_pixels())
                                 : product<1, true>(p, shape.result_pixels());
        }
}

inline StridedShape strided_shape(const Shape& shape, const Patches& patches) {
    if (patches.weights) return {shape.n, patches.out_h(), patches.out_w(), patches.out, shape.out};
    return {shape.n, shape.h, shape.w, shape.in, shape.out};
}

template <typename Stored>
void strided_forward(const void* source, const Patches& patches, const float* weights, const float* gamma,
                     const float* beta, float* running_mean, float* running_variance, double momentum, double epsilon,
                     Stored* z, Stored* y, float* saved, const StridedShape& shape, const Strides& strides, int scores,
                     int num_threads) {
    const Norm norm(shape.out, saved);
    const size_t rows = static_cast<size_t>(shape.out_h()) * shape.out_w(), width = shape.out_width();
    const std::vector<float> filters = strided_filters(shape, weights, strides, true);
    const PhaseFiller<Stored> filler(shape, patches, source);
    if (scores) take_running_statistics<Stored>(norm, gamma, beta, running_mean, running_variance, epsilon);
    std::vector<double> sums(2 * static_cast<size_t>(shape.out) * parts_of(shape.n));
    over_images(shape.n, num_threads, [&](int part, int first, int last) {
        AlignedBuffer padded(filler.scratch_size()), phases(shape.phases_size()),
            results(shape.result_pixels() * width);
        std::memset(padded.data(), 0, filler.scratch_size() * sizeof(float));
        std::memset(phases.data(), 0, shape.phases_size() * sizeof(float));
        for (int i = first; i < last; i++) {
            filler.fill(i, padded.data(), phases.data());
            strided_results(shape, phases.data(), filters.data(), results.data());
            Stored* to = z + i * rows * shape.out;
            for (int row = 0; row < shape.out_h(); row++)
                for (int x = 0; x < shape.out_w(); x++)
                    copy_channels_back(results.data() + (static_cast<size_t>(row) * shape.row() + x) * width,
                                       to + (static_cast<size_t>(row) * shape.out_w() + x) * shape.out, shape.out);
            if (scores)
                activate<Stored>(norm, to, nullptr, to, rows);
            else
                add_moments(to, rows, shape.out, sums.data() + 2 * static_cast<size_t>(part) * shape.out);
        }
    });
    if (scores) return;
    finish_statistics<Stored>(norm, sums, parts_of(shape.n), static_cast<double>(shape.n) * rows, gamma, beta,
                              running_mean, running_variance, momentum, epsilon);
    activate_all<Stored>(norm, z, nullptr, y, shape.n, rows, num_threads);
}

// `x_gradient`, of stored maps only, may be null.
template <typename Stored>
void strided_backward(const Stored* grad_out, const void* source, const Patches& patches, const Stored* z,
                      const float* weights, float* saved, Stored* x_gradient, float* weight_gradient,
                      float* gamma_gradient, float* beta_gradient, const StridedShape& shape, const Strides& strides,
                      int num_threads) {
    const Norm norm(shape.out, saved);
    const size_t rows = static_cast<size_t>(shape.out_h()) * shape.out_w(), width = shape.out_width();
    const std::vector<float> filters =
        x_gradient ? strided_filters(shape, weights, strides, false) : std::vector<float>();
    const PhaseFiller<Stored> filler(shape, patches, source);
    const NormGradient<Stored> slopes =
        gradient_of_norm(norm, grad_out, z, gamma_gradient, beta_gradient, shape.n, rows, num_threads);
    const size_t part_size = static_cast<size_t>(NUM_TAPS) * shape.in * width;
    AlignedBuffer parts(part_size * parts_of(shape.n));
    std::memset(parts.data(), 0, part_size * parts_of(shape.n) * sizeof(float));
    over_images(shape.n, num_threads, [&](int part, int first, int last) {
        AlignedBuffer padded(filler.scratch_size()), phases(shape.phases_size()), wide(shape.result_pixels() * width);
        AlignedBuffer compact(floats_for<Stored>(rows * shape.out));
        std::memset(padded.data(), 0, filler.scratch_size() * sizeof(float));
        std::memset(phases.data(), 0, shape.phases_size() * sizeof(float));
        std::memset(wide.data(), 0, shape.result_pixels() * width * sizeof(float));
        Stored* dz = reinterpret_cast<Stored*>(compact.data());
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * shape.out;
            slopes.apply(norm, grad_out + at, z + at, rows, dz);
            for (int row = 0; row < shape.out_h(); row++)
                for (int x = 0; x < shape.out_w(); x++)
                    copy_channels(dz + (static_cast<size_t>(row) * shape.out_w() + x) * shape.out,
                                  wide.data() + (static_cast<size_t>(row) * shape.row() + x) * width, shape.out);
            if (i > first && x_gradient) std::memset(phases.data(), 0, shape.phases_size() * sizeof(float));
            filler.fill(i, padded.data(), phases.data());
            add_strided_gradient(shape, phases.data(), wide.data(), parts.data() + part_size * part);
            if (!x_gradient) continue;
            strided_adjoint(shape, wide.data(), filters.data(), phases.data());
            for (int y = 0; y < shape.h; y++)
                for (int x = 0; x < shape.w; x++)
                    copy_channels_back(phases.data() + shape.pixel(y, x),
                                       x_gradient + ((static_cast<size_t>(i) * shape.h + y) * shape.w + x) * shape.in,
                                       shape.in);
        }
    });
    for (int part = 1; part < parts_of(shape.n); part++)
        for (size_t j = 0; j < part_size; j++) parts.data()[j] += parts.data()[part_size * part + j];
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (int i = 0; i < shape.in; i++)
            for (int o = 0; o < shape.out; o++)
                weight_gradient[o * strides.out + i * strides.in + tap * strides.tap] =
                    parts.data()[(static_cast<size_t>(tap) * shape.in + i) * width + o];
}

}  // namespace
