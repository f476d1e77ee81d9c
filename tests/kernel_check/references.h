// What the blocks compute, in double precision: pooling, the norm with SiLU, and the gradients of both.

#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "arrays.h"
#include "kernels.h"

namespace check {

using Doubles = std::vector<double>;

inline Doubles doubles_of(const Array& array) {
    Doubles values(array.size());
    for (size_t i = 0; i < array.size(); i++) values[i] = array[i];
    return values;
}

// The places that pooling noted, by channel: of bfloat16 maps, each two vectors have the even channels before the odd ones.
inline Doubles places_of(const Array& largest, Kind kind, size_t channels) {
    const size_t lanes = thumbnet_lanes(), ordered = kind == Kind::BFLOAT16 ? channels / (2 * lanes) * 2 * lanes : 0;
    Doubles places(largest.size());
    for (size_t i = 0; i < places.size(); i++) {
        const size_t c = i % channels, at = c % (2 * lanes);
        places[i - c + (c < ordered ? c - at + at % lanes * 2 + at / lanes : c)] = largest[i];
    }
    return places;
}

// Maps [n, h, w, c] before pooling of 2x2 pixels, which leaves out an odd last row or column.
struct Pooled {
    int n, h, w, channels;

    // work(index of a result, indices of its four values)
    template <typename Work>
    void over_windows(const Work& work) const {
        size_t to = 0;
        for (int image = 0; image < n; image++)
            for (int y = 0; y < h / 2; y++)
                for (int x = 0; x < w / 2; x++)
                    for (int c = 0; c < channels; c++, to++) {
                        const size_t line = static_cast<size_t>(w) * channels;
                        const size_t first = (static_cast<size_t>(image) * h + 2 * y) * line + 2 * x * channels + c;
                        const size_t values[4] = {first, first + channels, first + line, first + line + channels};
                        work(to, values);
                    }
    }
    size_t size() const { return static_cast<size_t>(n) * (h / 2) * (w / 2) * channels; }

    // The place of the first of the largest; of the last NaN, if there is one.
    Doubles places(const Doubles& values) const {
        Doubles places(size());
        over_windows([&](size_t to, const size_t(&from)[4]) {
            int place = 0;
            for (int j = 1; j < 4; j++)
                if (values[from[j]] > values[from[place]] || std::isnan(values[from[j]])) place = j;
            places[to] = place;
        });
        return places;
    }
    Doubles taken(const Doubles& values, const Doubles& places) const {
        Doubles results(size());
        over_windows([&](size_t to, const size_t(&from)[4]) { results[to] = values[from[static_cast<int>(places[to])]]; });
        return results;
    }
    Doubles put_back(const Doubles& slopes, const Doubles& places) const {
        Doubles results(static_cast<size_t>(n) * h * w * channels);
        over_windows([&](size_t to, const size_t(&from)[4]) { results[from[static_cast<int>(places[to])]] = slopes[to]; });
        return results;
    }
};

// The norm over a batch of values [..., c] with SiLU after it.
struct NormReference {
    size_t channels;
    Doubles mean, variance, scale, shift, inverse;
    double count;

    NormReference(const Doubles& z, const Array& gamma, const Array& beta, double epsilon)
        : channels(gamma.size()), mean(channels), variance(channels), scale(channels), shift(channels),
          inverse(channels), count(static_cast<double>(z.size() / channels)) {
        for (size_t i = 0; i < z.size(); i++) mean[i % channels] += z[i] / count;
        for (size_t i = 0; i < z.size(); i++)
            variance[i % channels] += (z[i] - mean[i % channels]) * (z[i] - mean[i % channels]) / count;
        for (size_t c = 0; c < channels; c++) {
            inverse[c] = 1 / std::sqrt(variance[c] + epsilon);
            scale[c] = gamma[c] * inverse[c];
            shift[c] = beta[c] - scale[c] * mean[c];
        }
    }
    // By running statistics, as in scoring.
    NormReference(const Array& gamma, const Array& beta, const Array& running_mean, const Array& running_variance,
                  double epsilon)
        : channels(gamma.size()), scale(channels), shift(channels), count(0) {
        for (size_t c = 0; c < channels; c++) {
            scale[c] = gamma[c] / std::sqrt(running_variance[c] + epsilon);
            shift[c] = beta[c] - scale[c] * running_mean[c];
        }
    }
    Doubles activated(const Doubles& z) const {
        Doubles results(z.size());
        for (size_t i = 0; i < z.size(); i++) {
            const double h = scale[i % channels] * z[i] + shift[i % channels];
            results[i] = h / (1 + std::exp(-h));
        }
        return results;
    }
    // How a running statistic moves towards the batch's.
    Doubles moved(const Array& running, bool is_variance, double momentum) const {
        Doubles results(channels);
        for (size_t c = 0; c < channels; c++) {
            const double target = is_variance ? variance[c] * count / (count - 1) : mean[c];
            results[c] = running[c] + momentum * (target - running[c]);
        }
        return results;
    }
};

struct NormSlopes {
    Doubles of_z, of_gamma, of_beta;

    NormSlopes(const NormReference& norm, const Doubles& z, const Doubles& grad_out)
        : of_z(z.size()), of_gamma(norm.channels), of_beta(norm.channels) {
        const size_t channels = norm.channels;
        Doubles slopes(z.size());
        for (size_t i = 0; i < z.size(); i++) {
            const size_t c = i % channels;
            const double h = norm.scale[c] * z[i] + norm.shift[c], share = 1 / (1 + std::exp(-h));
            slopes[i] = grad_out[i] * share * (1 + h * (1 - share));
            of_beta[c] += slopes[i];
            of_gamma[c] += slopes[i] * (z[i] - norm.mean[c]) * norm.inverse[c];
        }
        for (size_t i = 0; i < z.size(); i++) {
            const size_t c = i % channels;
            const double normed = (z[i] - norm.mean[c]) * norm.inverse[c];
            of_z[i] = norm.scale[c] * (slopes[i] - of_beta[c] / norm.count - normed * of_gamma[c] / norm.count);
        }
    }
};

}  // namespace check
