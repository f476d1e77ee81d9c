// A norm's passes over all images of a batch.

#pragma once

#include <cstddef>
#include <vector>

#include "norm.h"
#include "parts.h"

namespace {

template <typename Stored>
void activate_all(const Norm& norm, const Stored* z, const Stored* shortcut, Stored* y, int n, size_t rows,
                  int num_threads) {
    over_images(n, num_threads, [&](int, int first, int last) {
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * norm.channels;
            activate(norm, z + at, shortcut ? shortcut + at : nullptr, y + at, rows);
        }
    });
}

template <typename Stored>
NormGradient<Stored> gradient_of_norm(const Norm& norm, const Stored* grad_out, const Stored* z, float* gamma_gradient,
                                      float* beta_gradient, int n, size_t rows, int num_threads) {
    std::vector<double> sums(2 * norm.channels * parts_of(n));
    over_images(n, num_threads, [&](int part, int first, int last) {
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * norm.channels;
            add_slopes(norm, grad_out + at, z + at, rows, sums.data() + 2 * part * norm.channels);
        }
    });
    return NormGradient<Stored>(norm, sums, parts_of(n), static_cast<double>(n) * rows, gamma_gradient, beta_gradient);
}

}  // namespace
