// Blocks of a network, in training and in scoring, fused: each map is read and written once or twice where a framework passes over it
// ten times, since memory, not arithmetic, is what small processors lack.
//
// Maps are [n, h, w, c] in memory (channels last), stored as float32 or as bfloat16; all arithmetic is float32. A norm's
// channels are a multiple of 8. An image's maps stay in the processor's cache from its pointwise convolution to its
// statistics. What a batch's parts sum up is added in their order: the results do not depend on the threads.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "changes.h"
#include "filters.h"
#include "images.h"
#include "muon.h"
#include "storage.h"
#include "strided.h"
#include "norm.h"
#include "norm_passes.h"
#include "parts.h"
#include "plain.h"
#include "products.h"
#include "vectors.h"
#include "winograd.h"

namespace {

// Pooling (with `largest`, of maps h x w), norm, SiLU and shortcut of t. Without pooling z is t, and not written.
// Here and in the other blocks a norm that `scores` takes its running statistics: each image is then finished while it is
// in the cache, z is y, and nothing is kept for a way back.
template <typename Stored>
void norm_forward(const Stored* t, const Stored* shortcut, const float* gamma, const float* beta, float* running_mean,
                  float* running_variance, double momentum, double epsilon, Stored* z, uint8_t* largest, Stored* y,
                  float* saved, int n, int h, int w, int channels, int scores, int num_threads) {
    const Norm norm(channels, saved);
    const Maps before{h, w, channels, nullptr, 1};
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : before.pixels();
    const Stored* values = largest ? z : t;
    if (scores) take_running_statistics<Stored>(norm, gamma, beta, running_mean, running_variance, epsilon);
    std::vector<double> sums(2 * channels * parts_of(n));
    over_images(n, num_threads, [&](int part, int first, int last) {
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * channels;
            if (largest) pool(before, t + i * before.size(), z + at, largest + at);
            if (scores)
                activate(norm, values + at, shortcut ? shortcut + at : nullptr, y + at, rows);
            else
                add_moments(values + at, rows, channels, sums.data() + 2 * part * channels);
        }
    });
    if (scores) return;
    finish_statistics<Stored>(norm, sums, parts_of(n), static_cast<double>(n) * rows, gamma, beta, running_mean,
                            running_variance, momentum, epsilon);
    activate_all(norm, values, shortcut, y, n, rows, num_threads);
}

template <typename Stored>
void norm_backward(const Stored* grad_out, const Stored* z, const uint8_t* largest, float* saved, Stored* t_gradient,
                   float* gamma_gradient, float* beta_gradient, int n, int h, int w, int channels, int num_threads) {
    const Norm norm(channels, saved);
    const Maps before{h, w, channels, nullptr, 1};
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : before.pixels();
    const NormGradient<Stored> slopes =
        gradient_of_norm(norm, grad_out, z, gamma_gradient, beta_gradient, n, rows, num_threads);
    over_images(n, num_threads, [&](int, int first, int last) {
        AlignedBuffer pooled(largest ? rows * channels : 0);
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * channels;
            Stored* to = t_gradient + i * before.size();
            if (!largest) {
                slopes.apply(norm, grad_out + at, z + at, rows, to);
                continue;
            }
            slopes.apply(norm, grad_out + at, z + at, rows, pooled.data());
            if (h % 2 || w % 2) std::memset(static_cast<void*>(to), 0, before.size() * sizeof(Stored));
            unpool(before, pooled.data(), largest + at, to);
        }
    });
}

// result = maps, plus the shortcut
template <typename Stored>
void add_and_store(const float* maps, const Stored* shortcut, Stored* result, size_t pixels, int channels) {
    for (size_t at = 0; at < pixels * channels; at += channels)
        over_channels(channels, [&](auto width, int c) {
            Group<width> sum = load_group<width>(maps + at + c);
            if (shortcut) {
                const Group<width> from_shortcut = load_group<width>(shortcut + at + c);
                for (int k = 0; k < sum.count; k++) sum.parts[k] += from_shortcut.parts[k];
            }
            store_group<width>(result + at + c, sum);
        });
}

// A blueprint-separable block: pointwise [in, out], depthwise [9, out], pooling (with `largest`), norm, SiLU, shortcut.
// What is between the convolutions is stored as `mixed`: to compute it again in the backward pass takes longer.
template <typename Stored>
void separable_forward(const Stored* x, const float* pointwise, const float* depthwise, const float* gamma,
                       const float* beta, float* running_mean, float* running_variance, double momentum, double epsilon,
                       Stored* mixed, Stored* z, uint8_t* largest, Stored* y, float* saved, int n, int h, int w, int in,
                       int out, int dilation, int has_shortcut, int scores, int num_threads) {
    const Norm norm(out, saved);
    const std::vector<float> zeros(static_cast<size_t>(w) * out);
    const Maps maps{h, w, out, zeros.data(), dilation};
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : maps.pixels();
    const std::vector<int> in_channels = order_of<Stored>(in), out_channels = order_of<Stored>(out);
    const std::vector<float> factors = in_order(pointwise, in_channels, out_channels);
    const std::vector<float> taps = in_order(depthwise, order_of<float>(TAPS), out_channels);
    if (scores) take_running_statistics<Stored>(norm, gamma, beta, running_mean, running_variance, epsilon);
    std::vector<double> sums(2 * out * parts_of(n));
    over_images(n, num_threads, [&](int part, int first, int last) {
        AlignedBuffer inputs(maps.pixels() * in), between(maps.size()), filtered(maps.size());
        AlignedBuffer own_mixed(scores ? floats_for<Stored>(maps.size()) : 0);
        for (int i = first; i < last; i++) {
            Stored* to = z + i * rows * out;
            Stored* to_mixed = scores ? reinterpret_cast<Stored*>(own_mixed.data()) : mixed + i * maps.size();
            const float* from = as_floats(x + i * maps.pixels() * in, inputs.data(), maps.pixels(), in);
            float* products = compute_in(to_mixed, between.data());
            multiply(Left{from, static_cast<size_t>(in), 1}, factors.data(), products, nullptr,
                     static_cast<int>(maps.pixels()), out, in);
            store_maps(to_mixed, products, maps.pixels(), out);
            float* result = largest ? filtered.data() : compute_in(to, filtered.data());
            filter(maps, products, taps.data(), result, false);
            if (largest)
                pool(maps, result, to, largest + i * rows * out);
            else
                store_maps(to, result, rows, out);
            if (scores)
                activate(norm, to, has_shortcut ? x + i * maps.pixels() * in : nullptr, y + i * rows * out, rows);
            else
                add_moments(to, rows, out, sums.data() + 2 * part * out);
        }
    });
    if (scores) return;
    finish_statistics<Stored>(norm, sums, parts_of(n), static_cast<double>(n) * rows, gamma, beta, running_mean,
                            running_variance, momentum, epsilon);
    activate_all(norm, z, has_shortcut ? x : nullptr, y, n, rows, num_threads);
}

// Here `pointwise` is [out, in]. `x_gradient` is null where nobody asks for it; else the input channels, too, are a
// multiple of 8.
template <typename Stored>
void separable_backward(const Stored* grad_out, const Stored* x, const Stored* mixed, const Stored* z,
                        const uint8_t* largest, const float* pointwise, const float* depthwise, float* saved,
                        Stored* x_gradient, float* pointwise_gradient, float* depthwise_gradients,
                        float* gamma_gradient, float* beta_gradient, int n, int h, int w, int in, int out, int dilation,
                        int has_shortcut, int num_threads) {
    const Norm norm(out, saved);
    const std::vector<float> zeros(static_cast<size_t>(w) * out);
    const Maps maps{h, w, out, zeros.data(), dilation};
    const int pixels = static_cast<int>(maps.pixels());
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : maps.pixels();
    const std::vector<int> in_channels = order_of<Stored>(in), out_channels = order_of<Stored>(out);
    const std::vector<float> factors = in_order(pointwise, out_channels, in_channels);
    const std::vector<float> taps = in_order(depthwise, order_of<float>(TAPS), out_channels);
    const NormGradient<Stored> slopes =
        gradient_of_norm(norm, grad_out, z, gamma_gradient, beta_gradient, n, rows, num_threads);
    const size_t num_inputs = maps.pixels() * in, num_pointwise = static_cast<size_t>(in) * out;
    const size_t num_weights = num_pointwise + TAPS * out;
    AlignedBuffer parts(num_weights * parts_of(n));
    std::memset(parts.data(), 0, num_weights * parts_of(n) * sizeof(float));
    over_images(n, num_threads, [&](int part, int first, int last) {
        float* own = parts.data() + num_weights * part;
        AlignedBuffer inputs(num_inputs), between(maps.size()), filtered(maps.size());
        AlignedBuffer pooled(largest ? rows * out : 0);
        if (h % 2 || w % 2)  // pooling leaves out a row or column
            std::memset(filtered.data(), 0, maps.size() * sizeof(float));
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * out;
            slopes.apply(norm, grad_out + at, z + at, rows, largest ? pooled.data() : filtered.data());
            if (largest) unpool(maps, pooled.data(), largest + at, filtered.data());
            const float* products = as_floats(mixed + i * maps.size(), between.data(), maps.pixels(), out);
            filter_gradient(maps, products, filtered.data(), own + num_pointwise);
            filter(maps, filtered.data(), taps.data(), between.data(), true);
            const float* from = as_floats(x + i * num_inputs, inputs.data(), maps.pixels(), in);
            multiply(Left{from, 1, static_cast<size_t>(in)}, between.data(), own, own, in, out, pixels);
            if (!x_gradient) continue;
            multiply(Left{between.data(), static_cast<size_t>(out), 1}, factors.data(), inputs.data(), nullptr, pixels,
                     in, out);
            add_and_store(inputs.data(), has_shortcut ? grad_out + at : nullptr, x_gradient + i * num_inputs,
                          maps.pixels(), in);
        }
    });
    for (int part = 1; part < parts_of(n); part++)
        for (size_t j = 0; j < num_weights; j++) parts.data()[j] += parts.data()[num_weights * part + j];
    for (int k = 0; k < in + TAPS; k++) {
        float* to = k < in ? pointwise_gradient + in_channels[k] * out : depthwise_gradients + (k - in) * out;
        for (int j = 0; j < out; j++) to[out_channels[j]] = parts.data()[k * out + j];
    }
}

}  // namespace

extern "C" {

// What Python compares before it calls anything else: the version of these functions' arguments and their meaning, and how
// many floats a vector has.
int thumbnet_abi() { return 8; }
int thumbnet_lanes() { return LANES; }
void thumbnet_set_add_up(void (*function)(double*, int)) { add_up = function; }
const char* thumbnet_compiler() { return __VERSION__; }  // that a run records

void thumbnet_norm_forward(void* t, void* shortcut, const float* gamma, const float* beta, float* running_mean,
                           float* running_variance, double momentum, double epsilon, void* z, uint8_t* largest, void* y,
                           float* saved, int is_bfloat16, int n, int h, int w, int channels, int scores,
                           int num_threads) {
    FOR_STORAGE(norm_forward, AnyStored{t}, AnyStored{shortcut}, gamma, beta, running_mean, running_variance, momentum,
                epsilon, AnyStored{z}, largest, AnyStored{y}, saved, n, h, w, channels, scores, num_threads);
}

void thumbnet_norm_backward(void* grad_out, void* z, const uint8_t* largest, float* saved, void* t_gradient,
                            float* gamma_gradient, float* beta_gradient, int is_bfloat16, int n, int h, int w,
                            int channels, int num_threads) {
    FOR_STORAGE(norm_backward, AnyStored{grad_out}, AnyStored{z}, largest, saved, AnyStored{t_gradient}, gamma_gradient,
                beta_gradient, n, h, w, channels, num_threads);
}

void thumbnet_separable_forward(void* x, const float* pointwise, const float* depthwise, const float* gamma,
                                const float* beta, float* running_mean, float* running_variance, double momentum,
                                double epsilon, void* mixed, void* z, uint8_t* largest, void* y, float* saved,
                                int is_bfloat16, int n, int h, int w, int in, int out, int dilation, int has_shortcut,
                                int scores, int num_threads) {
    FOR_STORAGE(separable_forward, AnyStored{x}, pointwise, depthwise, gamma, beta, running_mean, running_variance,
                momentum, epsilon, AnyStored{mixed}, AnyStored{z}, largest, AnyStored{y}, saved, n, h, w, in, out,
                dilation, has_shortcut, scores, num_threads);
}

void thumbnet_separable_backward(void* grad_out, void* x, void* mixed, void* z, const uint8_t* largest,
                                 const float* pointwise, const float* depthwise, float* saved, void* x_gradient,
                                 float* pointwise_gradient, float* depthwise_gradients, float* gamma_gradient,
                                 float* beta_gradient, int is_bfloat16, int n, int h, int w, int in, int out,
                                 int dilation, int has_shortcut, int num_threads) {
    FOR_STORAGE(separable_backward, AnyStored{grad_out}, AnyStored{x}, AnyStored{mixed}, AnyStored{z}, largest,
                pointwise, depthwise, saved, AnyStored{x_gradient}, pointwise_gradient, depthwise_gradients,
                gamma_gradient, beta_gradient, n, h, w, in, out, dilation, has_shortcut, num_threads);
}

void thumbnet_convolution_forward(void* x, const float* weights, const float* bias, void* y, int is_bfloat16, int n, int h,
                                  int w, int in, int out, int padding, int dilation, int64_t out_stride,
                                  int64_t in_stride, int64_t tap_stride, int num_threads) {
    const Shape shape{n, h, w, in, out, padding, dilation};
    const Strides strides{out_stride, in_stride, tap_stride};
    FOR_STORAGE(convolution_forward, AnyStored{x}, weights, bias, AnyStored{y}, shape, strides, num_threads);
}

void thumbnet_convolution_backward(void* grad_out, void* x, const float* weights, void* x_gradient,
                                   float* weight_gradient, float* bias_gradient, int is_bfloat16, int n, int h, int w,
                                   int in, int out, int padding, int dilation, int64_t out_stride, int64_t in_stride,
                                   int64_t tap_stride, int num_threads) {
    const Shape shape{n, h, w, in, out, padding, dilation};
    const Strides strides{out_stride, in_stride, tap_stride};
    FOR_STORAGE(convolution_backward, AnyStored{grad_out}, AnyStored{x}, weights, AnyStored{x_gradient}, weight_gradient,
                bias_gradient, shape, strides, num_threads);
}

void thumbnet_plain_forward(void* x, const float* weights, const float* gamma, const float* beta, float* running_mean,
                            float* running_variance, double momentum, double epsilon, void* z, uint8_t* largest, void* y,
                            float* saved, int is_bfloat16, int n, int h, int w, int in, int out, int padding,
                            int dilation, int64_t out_stride, int64_t in_stride, int64_t tap_stride, int has_shortcut,
                            int scores, int num_threads) {
    const Shape shape{n, h, w, in, out, padding, dilation};
    const Strides strides{out_stride, in_stride, tap_stride};
    FOR_STORAGE(plain_forward, AnyStored{x}, weights, gamma, beta, running_mean, running_variance, momentum, epsilon,
                AnyStored{z}, largest, AnyStored{y}, saved, shape, strides, has_shortcut, scores, num_threads);
}

void thumbnet_plain_backward(void* grad_out, void* x, void* z, const uint8_t* largest, const float* weights, float* saved,
                             void* x_gradient, float* weight_gradient, float* gamma_gradient, float* beta_gradient,
                             int is_bfloat16, int n, int h, int w, int in, int out, int padding, int dilation,
                             int64_t out_stride, int64_t in_stride, int64_t tap_stride, int has_shortcut,
                             int num_threads) {
    const Shape shape{n, h, w, in, out, padding, dilation};
    const Strides strides{out_stride, in_stride, tap_stride};
    FOR_STORAGE(plain_backward, AnyStored{grad_out}, AnyStored{x}, AnyStored{z}, largest, weights, saved,
                AnyStored{x_gradient}, weight_gradient, gamma_gradient, beta_gradient, shape, strides, has_shortcut,
                num_threads);
}

// With `whitening` weights, `source` are images of float32 [n, h, w, in] and `whitened` the channels that come of them.
void thumbnet_strided_forward(void* source, const float* whitening, const float* weights, const float* gamma,
                              const float* beta, float* running_mean, float* running_variance, double momentum,
                              double epsilon, void* z, void* y, float* saved, int is_bfloat16, int n, int h, int w, int in,
                              int out, int whitened, int whiten_padding, int64_t out_stride, int64_t in_stride,
                              int64_t tap_stride, int scores, int num_threads) {
    const Patches patches{h, w, in, whiten_padding, whitened, whitening};
    const Strides strides{out_stride, in_stride, tap_stride};
    const StridedShape shape = strided_shape({n, h, w, in, out, 1, 1}, patches);
    FOR_STORAGE(strided_forward, source, patches, weights, gamma, beta, running_mean, running_variance, momentum, epsilon,
                AnyStored{z}, AnyStored{y}, saved, shape, strides, scores, num_threads);
}

void thumbnet_strided_backward(void* grad_out, void* source, const float* whitening, void* z, const float* weights,
                               float* saved, void* x_gradient, float* weight_gradient, float* gamma_gradient,
                               float* beta_gradient, int is_bfloat16, int n, int h, int w, int in, int out, int whitened,
                               int whiten_padding, int64_t out_stride, int64_t in_stride, int64_t tap_stride,
                               int num_threads) {
    const Patches patches{h, w, in, whiten_padding, whitened, whitening};
    const Strides strides{out_stride, in_stride, tap_stride};
    const StridedShape shape = strided_shape({n, h, w, in, out, 1, 1}, patches);
    FOR_STORAGE(strided_backward, AnyStored{grad_out}, source, patches, AnyStored{z}, weights, saved,
                AnyStored{x_gradient}, weight_gradient, gamma_gradient, beta_gradient, shape, strides, num_threads);
}

// A batch of images [n, channels, h, w] as float32 [n, out_h, out_w, channels]; see images.h and resize.h. The sums of a
// side that keeps its size are null.
void thumbnet_images(const uint8_t* images, const int64_t* top, const int64_t* left, const uint8_t* flips,
                     const int32_t* vertical, const int32_t* horizontal, const float* table, float* result, int n,
                     int channels, int h, int w, int out_h, int out_w, int padding, int reflects, int vertical_taps,
                     int vertical_precision, int horizontal_taps, int horizontal_precision, int num_threads) {
    make_images(images, {n, channels, h, w, out_h, out_w}, {top, left, flips, padding, reflects != 0},
                {vertical, vertical_taps, vertical_precision}, {horizontal, horizontal_taps, horizontal_precision}, table,
                result, num_threads);
}

// The functions of changes.h, and windows alone: `images` and `result` are bytes [n, channels, h, w], and lie apart.
void thumbnet_cut_images(const uint8_t* images, const int64_t* top, const int64_t* left, const uint8_t* flips,
                         uint8_t* result, int n, int channels, int h, int w, int padding, int reflects, int num_threads) {
    cut_images(images, n, channels, h, w, {top, left, flips, padding, reflects != 0}, result, num_threads);
}

void thumbnet_turn_images(const uint8_t* images, const uint8_t* selected, const float* sources, uint8_t* result, int n,
                          int channels, int h, int w, int num_threads) {
    turn_images({images, n, channels, h, w}, selected, sources, result, num_threads);
}

void thumbnet_mix_images(const uint8_t* images, const float* mixing, const float* lifts, const float* greys, uint8_t* result,
                         int n, int channels, int h, int w, int num_threads) {
    mix_images({images, n, channels, h, w}, mixing, lifts, greys, result, num_threads);
}

void thumbnet_sharpen_images(const uint8_t* images, const float* factors, uint8_t* result, int n, int channels, int h,
                             int w, int num_threads) {
    sharpen_images({images, n, channels, h, w}, factors, result, num_threads);
}

// One step on each filter: a matrix [rows, columns] of float32, its gradient and its momentum, which are overwritten.
void thumbnet_muon_step(float* const* weights, const float* const* gradients, float* const* momenta, const int* rows,
                        const int* columns, int num_filters, double lr, double momentum, int num_threads) {
    std::vector<MuonFilter> filters;
    for (int i = 0; i < num_filters; i++)
        filters.push_back({weights[i], gradients[i], momenta[i], rows[i], columns[i]});
    muon_steps(filters, static_cast<float>(lr), static_cast<float>(momentum), num_threads);
}

}  // extern "C"
