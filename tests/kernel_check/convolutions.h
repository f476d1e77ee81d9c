// The convolutions against nine nested loops in double precision.

#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "arrays.h"
#include "kernels.h"
#include "references.h"

namespace check {

enum class Weights { BY_TAP, BY_CHANNEL };  // [out][in][tap], as PyTorch's are at first, or [out][tap][in]
enum class Nan { NONE, MAPS, WEIGHTS, BIAS };

struct Convolution {
    int n, h, w, in, out, padding, dilation;
    Kind kind;
    Weights layout = Weights::BY_TAP;
    Nan nan = Nan::NONE;
    bool wants_maps = true, wants_weights = true, wants_bias = true;

    int out_h() const { return h + 2 * padding - 2 * dilation; }
    int out_w() const { return w + 2 * padding - 2 * dilation; }
    size_t in_size() const { return static_cast<size_t>(h) * w * in; }
    size_t out_size() const { return static_cast<size_t>(out_h()) * out_w() * out; }
    int64_t out_stride() const { return 9 * in; }
    int64_t in_stride() const { return layout == Weights::BY_TAP ? 9 : 1; }
    int64_t tap_stride() const { return layout == Weights::BY_TAP ? 1 : in; }
    std::string name(const char* pass) const {
        const auto number = [](int value) { return " " + std::to_string(value); };
        return std::string("convolution ") + pass + (kind == Kind::BFLOAT16 ? " bfloat16" : " float32") + number(n) +
               number(h) + number(w) + number(in) + number(out) + " padding" + number(padding) + " dilation" +
               number(dilation) + (layout == Weights::BY_TAP ? "" : " channels last") +
               (nan == Nan::NONE ? "" : " NaN" + number(static_cast<int>(nan)));
    }

    // work(x, y, weight) for all indices of values whose product is part of a result
    template <typename Work>
    void over_products(const Work& work) const {
        for (int image = 0; image < n; image++)
            for (int y = 0; y < out_h(); y++)
                for (int x = 0; x < out_w(); x++)
                    for (int tap = 0; tap < 9; tap++) {
                        const int row = y - padding + tap / 3 * dilation, column = x - padding + tap % 3 * dilation;
                        if (row < 0 || row >= h || column < 0 || column >= w) continue;
                        const size_t from = image * in_size() + (static_cast<size_t>(row) * w + column) * in;
                        const size_t to = image * out_size() + (static_cast<size_t>(y) * out_w() + x) * out;
                        for (int o = 0; o < out; o++)
                            for (int i = 0; i < in; i++)
                                work(from + i, to + o, o * out_stride() + i * in_stride() + tap * tap_stride());
                    }
    }
};

// Forward and backward. A NaN is put into the last image, or into the weights or the bias of the last channel.
inline void check_convolution(Findings& findings, Random& random, const Convolution& c) {
    const int is_bfloat16 = c.kind == Kind::BFLOAT16;
    Array x = random.array(c.kind, c.n * c.in_size(), 0.3f);
    Array weights = random.array(Kind::FLOAT32, static_cast<size_t>(c.out) * c.in * 9), bias = random.array(Kind::FLOAT32, c.out);
    Array grad_out = random.array(c.kind, c.n * c.out_size());
    if (c.nan == Nan::MAPS) {
        x.set_bits(x.size() - 1 - c.in_size() / 2, UNUSUAL_NAN);
        grad_out.set_bits(grad_out.size() - 1, UNUSUAL_NAN);
    }
    if (c.nan == Nan::WEIGHTS) weights.set_bits(weights.size() - 1, UNUSUAL_NAN);
    if (c.nan == Nan::BIAS) bias.set_bits(bias.size() - 1, UNUSUAL_NAN);
    const Doubles from_x = doubles_of(x), from_weights = doubles_of(weights), slopes = doubles_of(grad_out);

    const bool has_bias = c.nan != Nan::NONE || c.wants_bias;
    Doubles y(c.n * c.out_size()), of_x(x.size()), of_weights(weights.size()), of_bias(c.out);
    for (size_t i = 0; i < y.size(); i++) {
        y[i] = has_bias ? bias[i % c.out] : 0;
        of_bias[i % c.out] += slopes[i];
    }
    c.over_products([&](size_t from, size_t to, size_t weight) {
        y[to] += from_x[from] * from_weights[weight];
        of_x[from] += slopes[to] * from_weights[weight];
        of_weights[weight] += slopes[to] * from_x[from];
    });

    const Arrays forward = outputs_of(
        findings, c.name("forward"), {x, weights, bias}, {Array(c.kind, y.size())},
        [&](Arrays& given, Arrays& results, int num_threads) {
            thumbnet_convolution_forward(given[0].data(), given[1].floats(), has_bias ? given[2].floats() : nullptr,
                                         results[0].data(), is_bfloat16, c.n, c.h, c.w, c.in, c.out, c.padding,
                                         c.dilation, c.out_stride(), c.in_stride(), c.tap_stride(), num_threads);
        });
    const Arrays backward = outputs_of(
        findings, c.name("backward"), {grad_out, x, weights},
        {Array(c.kind, x.size()), Array(Kind::FLOAT32, weights.size()), Array(Kind::FLOAT32, c.out)},
        [&](Arrays& given, Arrays& results, int num_threads) {
            thumbnet_convolution_backward(
                given[0].data(), given[1].data(), given[2].floats(), c.wants_maps ? results[0].data() : nullptr,
                c.wants_weights ? results[1].floats() : nullptr, c.wants_bias ? results[2].floats() : nullptr,
                is_bfloat16, c.n, c.h, c.w, c.in, c.out, c.padding, c.dilation, c.out_stride(), c.in_stride(),
                c.tap_stride(), num_threads);
        });

    // Whatever shares a tile with a NaN may be one: in the same image, or the same channel.
    const bool in_maps = c.nan == Nan::MAPS, in_weights = c.nan == Nan::WEIGHTS;
    const MayBeNan in_out = [&](size_t i) {
        return (in_maps && i >= (c.n - 1) * c.out_size()) || (in_weights && i % c.out + 1 == static_cast<size_t>(c.out));
    };
    const MayBeNan in_in = [&](size_t i) {
        return (in_maps && i >= (c.n - 1) * c.in_size()) || (in_weights && i % c.in + 1 == static_cast<size_t>(c.in));
    };
    expect(findings, c.name("forward"), forward[0], y, 1e-5, in_out);
    if (c.wants_maps) expect(findings, c.name("backward, of maps"), backward[0], of_x, 1e-5, in_in);
    if (c.wants_weights)
        expect(findings, c.name("backward, of weights"), backward[1], of_weights, 1e-5, [&](size_t) { return in_maps; });
    if (c.wants_bias) expect(findings, c.name("backward, of bias"), backward[2], of_bias, 1e-5);
}

inline void check_convolutions(Findings& findings) {
    Random random;
    for (const Kind kind : {Kind::FLOAT32, Kind::BFLOAT16}) {
        const auto run = [&](Convolution c) {
            c.kind = kind;
            check_convolution(findings, random, c);
        };
        const int channels[][2] = {{8, 8},  {16, 24}, {24, 16}, {32, 8},  {8, 32}, {3, 16},
                                   {16, 3}, {1, 1},   {62, 84}, {84, 62}, {5, 13}, {104, 24}};
        for (const auto& [in, out] : channels) run({2, 4, 3, in, out, 1, 1, kind});
        const int sides[][2] = {{2, 2}, {3, 3}, {4, 4}, {6, 6}, {7, 3}, {2, 9}, {8, 5}, {11, 10}};
        for (const auto& [h, w] : sides)
            for (int dilation = 1; dilation <= 3; dilation++)
                for (int padding = 0; padding <= dilation; padding++)
                    if (std::min(h, w) + 2 * padding - 2 * dilation > 0)
                        run({2, h, w, 8, 16, padding, dilation, kind,
                             padding % 2 ? Weights::BY_CHANNEL : Weights::BY_TAP});
        run({50, 2, 2, 8, 8, 1, 1, kind});     // several images a chunk
        run({20, 16, 16, 8, 8, 1, 1, kind});  // several parts, and chunks an image
        run({200, 2, 2, 62, 84, 1, 1, kind});  // several parts by tiles of 2x2 and 3x3, and channels that are repeated
        run({150, 3, 3, 24, 40, 1, 1, kind});
        run({1, 33, 31, 8, 8, 1, 1, kind});
        run({1, 6, 4, 62, 84, 2, 2, kind, Weights::BY_CHANNEL});
        for (int wanted = 0; wanted < 7; wanted++) {
            Convolution c{2, 5, 6, 16, 8, 1, 1, kind};
            c.wants_maps = wanted & 1, c.wants_weights = wanted & 2, c.wants_bias = wanted & 4;
            run(c);
        }
        for (const Nan nan : {Nan::MAPS, Nan::WEIGHTS, Nan::BIAS})
            for (const auto& [in, out] : {std::pair(8, 8), std::pair(24, 62), std::pair(3, 40)})
                for (const int side : {2, 6, 8}) run({2, side, side, in, out, 1, 1, kind, Weights::BY_TAP, nan});
    }
}

}  // namespace check
