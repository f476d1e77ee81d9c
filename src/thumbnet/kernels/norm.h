// The norm over a batch with SiLU after it, and its gradient.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "processes.h"
#include "storage.h"
#include "sigmoid.h"
#include "vectors.h"

namespace {

// The norm over a batch: what it saves for the way back, per channel, in the order of the maps' float32 copies.
struct Norm {
    int channels;
    float *mean, *inverse, *scale, *shift;  // y = silu(scale * z + shift)

    Norm(int channels, float* saved)
        : channels(channels),
          mean(saved),
          inverse(saved + channels),
          scale(saved + 2 * channels),
          shift(saved + 3 * channels) {}
};

// Adds what was summed up of a group of channels.
template <int width>
inline void add_sums(const Group<width>& first, const Group<width>& second, int channels, double* sums) {
    for (int k = 0; k < first.count; k++)
        for (int lane = 0; lane < first.lanes; lane++) {
            sums[k * LANES + lane] += first.parts[k][lane];
            sums[channels + k * LANES + lane] += second.parts[k][lane];
        }
}

// sums[0] += the values, sums[1] += their squares, over `rows` pixels
template <typename Stored>
void add_moments(const Stored* values, size_t rows, int channels, double* sums) {
    over_channels(channels, [&](auto width, int c) {
        Group<width> first = {}, second = {};
        for (size_t row = 0; row < rows; row++) {
            const Group<width> value = load_group<width>(values + row * channels + c);
            for (int k = 0; k < value.count; k++) {
                first.parts[k] += value.parts[k];
                second.parts[k] += value.parts[k] * value.parts[k];
            }
        }
        add_sums(first, second, channels, sums + c);
    });
}

// From all parts' moments, in all processes: the batch's statistics, and the running ones moved towards them.
template <typename Stored>
void finish_statistics(const Norm& norm, const std::vector<double>& sums, int num_parts, double count,
                       const float* gamma, const float* beta, float* running_mean, float* running_variance,
                       double momentum, double epsilon) {
    const int channels = norm.channels;
    const std::vector<int> order = order_of<Stored>(channels);
    ChannelSums total = over_parts_of(sums, num_parts, order, count);
    total.over_processes();
    count = total.count();
    for (int at = 0; at < channels; at++) {
        const int c = order[at];
        const double mean = total.first(c) / count;
        const double difference = total.second(c) / count - mean * mean;
        const double variance = difference < 0 ? 0 : difference;  // a NaN stays one
        const double inverse = 1 / std::sqrt(variance + epsilon);
        norm.mean[at] = static_cast<float>(mean);
        norm.inverse[at] = static_cast<float>(inverse);
        norm.scale[at] = with_usual_nan(static_cast<float>(gamma[c] * inverse));
        norm.shift[at] = with_usual_nan(static_cast<float>(beta[c] - gamma[c] * inverse * mean));
        const double unbiased = variance * count / (count - 1);
        running_mean[c] += static_cast<float>(momentum * (mean - running_mean[c]));
        running_variance[c] += static_cast<float>(momentum * (unbiased - running_variance[c]));
    }
}

// For scoring: scale and shift that the running statistics give. There are no others, and nothing is saved.
template <typename Stored>
void take_running_statistics(const Norm& norm, const float* gamma, const float* beta, const float* running_mean,
                             const float* running_variance, double epsilon) {
    const std::vector<int> order = order_of<Stored>(norm.channels);
    for (int at = 0; at < norm.channels; at++) {
        const int c = order[at];
        const double inverse = 1 / std::sqrt(running_variance[c] + epsilon);
        norm.scale[at] = with_usual_nan(static_cast<float>(gamma[c] * inverse));
        norm.shift[at] = with_usual_nan(static_cast<float>(beta[c] - gamma[c] * inverse * running_mean[c]));
    }
}

// work(begin, end) for runs of whole pixels, of some 256 values each: they are passed over once for each group of
// channels, and memory comes faster almost in its own order.
template <typename Work>
inline void over_runs(size_t rows, int channels, const Work& work) {
    const size_t most = std::max(1, 256 / channels);
    for (size_t first = 0; first < rows; first += most) work(first * channels, std::min(first + most, rows) * channels);
}

// y = silu(scale * z + shift), plus the shortcut; y may be z
template <typename Stored>
void activate(const Norm& norm, const Stored* z, const Stored* shortcut, Stored* y, size_t rows) {
    over_runs(rows, norm.channels, [&](size_t begin, size_t end) {
        over_channels(norm.channels, [&](auto width, int c) {
            const Group<width> scale = load_group<width>(norm.scale + c), shift = load_group<width>(norm.shift + c);
            for (size_t at = begin + c; at < end; at += norm.channels) {
                Group<width> result = load_group<width>(z + at);
                for (int k = 0; k < result.count; k++) {
                    const Vector h = result.parts[k] * scale.parts[k] + shift.parts[k];
                    result.parts[k] = h * sigmoid_for<Stored>(h);
                }
                if (shortcut) {
                    const Group<width> from_shortcut = load_group<width>(shortcut + at);
                    for (int k = 0; k < result.count; k++) result.parts[k] += from_shortcut.parts[k];
                }
                store_group<width>(y + at, result);
            }
        });
    });
}

template <typename Stored>
inline Vector silu_slope(Vector h) {
    const Vector share = sigmoid_for<Stored>(h);
    return share * (1.0f + h * (1.0f - share));
}

// sums[0] += the gradients before the activation, sums[1] += their products with z minus its mean
template <typename Stored>
void add_slopes(const Norm& norm, const Stored* grad_out, const Stored* z, size_t rows, double* sums) {
    const int channels = norm.channels;
    over_channels(channels, [&](auto width, int c) {
        const Group<width> scale = load_group<width>(norm.scale + c), shift = load_group<width>(norm.shift + c);
        const Group<width> mean = load_group<width>(norm.mean + c);
        Group<width> first = {}, second = {};
        for (size_t at = c; at < rows * channels; at += channels) {
            const Group<width> value = load_group<width>(z + at), slope_out = load_group<width>(grad_out + at);
            for (int k = 0; k < value.count; k++) {
                const Vector h = value.parts[k] * scale.parts[k] + shift.parts[k];
                const Vector slope = slope_out.parts[k] * silu_slope<Stored>(h);
                first.parts[k] += slope;
                second.parts[k] += slope * (value.parts[k] - mean.parts[k]);
            }
        }
        add_sums(first, second, channels, sums + c);
    });
}

// The gradients of gamma and beta, of this process's part, and how dz follows from those of the whole batch:
// dz = scale * slope + by_value * z + constant
template <typename Stored>
struct NormGradient {
    std::vector<float> by_value, constant;

    NormGradient(const Norm& norm, const std::vector<double>& sums, int num_parts, double count, float* gamma_gradient,
                 float* beta_gradient)
        : by_value(norm.channels), constant(norm.channels) {
        const int channels = norm.channels;
        const std::vector<int> order = order_of<Stored>(channels);
        ChannelSums total = over_parts_of(sums, num_parts, order, count);
        for (int at = 0; at < channels; at++) {
            gamma_gradient[order[at]] = static_cast<float>(total.second(order[at]) * norm.inverse[at]);
            beta_gradient[order[at]] = static_cast<float>(total.first(order[at]));
        }
        total.over_processes();
        count = total.count();
        for (int at = 0; at < channels; at++) {
            const double beta_sum = total.first(order[at]), gamma_sum = total.second(order[at]) * norm.inverse[at];
            const double factor = -norm.scale[at] * norm.inverse[at] * gamma_sum / count;
            by_value[at] = static_cast<float>(factor);
            constant[at] = static_cast<float>(-norm.scale[at] * beta_sum / count - factor * norm.mean[at]);
        }
    }

    template <typename Result>
    void apply(const Norm& norm, const Stored* grad_out, const Stored* z, size_t rows, Result* dz) const {
        over_runs(rows, norm.channels, [&](size_t begin, size_t end) {
            over_channels(norm.channels, [&](auto width, int c) {
                const Group<width> scale = load_group<width>(norm.scale + c), shift = load_group<width>(norm.shift + c);
                const Group<width> factor = load_group<width>(by_value.data() + c);
                const Group<width> rest = load_group<width>(constant.data() + c);
                for (size_t at = begin + c; at < end; at += norm.channels) {
                    const Group<width> value = load_group<width>(z + at);
                    Group<width> result = load_group<width>(grad_out + at);
                    for (int k = 0; k < value.count; k++) {
                        const Vector h = value.parts[k] * scale.parts[k] + shift.parts[k];
                        const Vector slope = result.parts[k] * silu_slope<Stored>(h);
                        result.parts[k] = scale.parts[k] * slope + (factor.parts[k] * value.parts[k] + rest.parts[k]);
                    }
                    store_group<width>(dz + at, result);
                }
            });
        });
    }
};

}  // namespace
