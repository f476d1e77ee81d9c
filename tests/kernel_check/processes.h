// A norm whose batch other processes have parts of: with two equal parts, all but the running variance is as with one.

#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "arrays.h"
#include "kernels.h"

namespace check {

constexpr int PARTS_OF = 2;  // equal processes

inline void add_up_equal_parts(double* values, int count) {
    for (int i = 0; i < count; i++) values[i] *= PARTS_OF;
}

struct NormRun {
    std::vector<float> y, of_maps, of_gamma, of_beta, mean, variance;

    explicit NormRun(bool has_others) {
        constexpr int n = 3, h = 4, w = 5, channels = 16, size = n * h * w * channels;
        std::vector<float> maps(size), grad_out(size), gamma(channels, 1.5f), beta(channels, 0.25f), saved(4 * channels);
        for (int i = 0; i < size; i++) maps[i] = std::sin(0.7f * i) + 1, grad_out[i] = std::cos(0.3f * i);
        y.resize(size), of_maps.resize(size), of_gamma.resize(channels), of_beta.resize(channels);
        mean.assign(channels, 0), variance.assign(channels, 0);
        thumbnet_set_add_up(has_others ? add_up_equal_parts : nullptr);
        thumbnet_norm_forward(maps.data(), nullptr, gamma.data(), beta.data(), mean.data(), variance.data(), 1, 1e-5,
                              maps.data(), nullptr, y.data(), saved.data(), 0, n, h, w, channels, 0, 1);
        thumbnet_norm_backward(grad_out.data(), maps.data(), nullptr, saved.data(), of_maps.data(), of_gamma.data(),
                               of_beta.data(), 0, n, h, w, channels, 1);
        thumbnet_set_add_up(nullptr);
        const float count = n * h * w;  // undone: by how many values less one each divides
        for (float& value : variance) value *= has_others ? (PARTS_OF * count - 1) / (PARTS_OF * count) : (count - 1) / count;
    }
};

inline void check_processes(Findings& findings) {
    const NormRun alone(false), shared(true);
    const auto compare = [&](const char* what, const std::vector<float>& expected, const std::vector<float>& found) {
        for (size_t i = 0; i < expected.size(); i++)
            if (!(std::abs(found[i] - expected[i]) <= 1e-5f * std::max(1.0f, std::abs(expected[i]))))
                return findings.fail(std::string("norm of two processes, ") + what, "is not that of one");
    };
    compare("forward", alone.y, shared.y);
    compare("running mean", alone.mean, shared.mean);
    compare("running variance", alone.variance, shared.variance);
    compare("backward, of maps", alone.of_maps, shared.of_maps);
    compare("backward, of gamma", alone.of_gamma, shared.of_gamma);
    compare("backward, of beta", alone.of_beta, shared.of_beta);
    findings.num_calls += 4;
}

}  // namespace check
