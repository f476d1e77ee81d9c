// Plain blocks of stride 2, on stored maps or, whitened first, on images.

#pragma once

#include <algorithm>
#include <string>

#include "arrays.h"
#include "blocks.h"
#include "convolutions.h"
#include "kernels.h"
#include "references.h"

namespace check {

enum class NanAt { NOTHING, SOURCE, WEIGHTS, WHITENING, GAMMA, GRADIENT };

struct StridedBlock {
    int n, h, w, channels, out, whitened, whiten_padding;  // whitened to so many channels, or 0
    Kind kind;
    Weights layout = Weights::BY_TAP;
    NanAt nan = NanAt::NOTHING;

    int grown() const { return whitened ? 2 * whiten_padding - 1 : 0; }
    int map_h() const { return h + grown(); }
    int map_w() const { return w + grown(); }
    int in() const { return whitened ? whitened : channels; }
    int out_h() const { return (map_h() + 1) / 2; }
    int out_w() const { return (map_w() + 1) / 2; }
    size_t map_size() const { return static_cast<size_t>(n) * map_h() * map_w() * in(); }
    size_t size() const { return static_cast<size_t>(n) * out_h() * out_w() * out; }
    Kind source_kind() const { return whitened ? Kind::FLOAT32 : kind; }
    Convolution taps() const { return {n, map_h(), map_w(), in(), out, 1, 1, kind, layout}; }
    std::string name(const char* what) const {
        const auto number = [](int value) { return " " + std::to_string(value); };
        return std::string("strided ") + what + (kind == Kind::BFLOAT16 ? " bfloat16" : " float32") + number(n) +
               number(h) + number(w) + number(channels) + number(out) + " whitened" + number(whitened) + " padding" +
               number(whiten_padding) + (layout == Weights::BY_TAP ? "" : " channels last") +
               (nan == NanAt::NOTHING ? "" : " NaN" + number(static_cast<int>(nan)));
    }

    // work(index in the maps, in the results, of the weight): every other pixel of a convolution with stride 1
    template <typename Work>
    void over_products(const Work& work) const {
        taps().over_products([&](size_t from, size_t to, size_t weight) {
            const size_t pixel = to / out, x = pixel % map_w(), y = pixel / map_w() % map_h(), image = pixel / map_w() / map_h();
            if (x % 2 || y % 2) return;
            work(from, ((image * out_h() + y / 2) * out_w() + x / 2) * out + to % out, weight);
        });
    }
    // The maps in front of the convolution: the source, or the ReLU of its whitened patches.
    Doubles maps(const Doubles& source, const Doubles& whitening) const {
        if (!whitened) return source;
        Doubles maps(map_size());
        for (size_t at = 0; at < maps.size(); at++) {
            const int o = at % whitened, x = at / whitened % map_w(), y = at / whitened / map_w() % map_h();
            const size_t image = at / whitened / map_w() / map_h();
            for (int tap = 0; tap < 4; tap++) {
                const int row = y - whiten_padding + tap / 2, column = x - whiten_padding + tap % 2;
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                for (int c = 0; c < channels; c++)
                    maps[at] += source[((image * h + row) * w + column) * channels + c] * whitening[(o * channels + c) * 4 + tap];
            }
            if (maps[at] < 0) maps[at] = 0;
        }
        return maps;
    }
};

inline void check_strided_block(Findings& findings, Random& random, const StridedBlock& b) {
    const int is_bfloat16 = b.kind == Kind::BFLOAT16;
    const Convolution c = b.taps();
    const auto vector = [&](float mean) { return random.array(Kind::FLOAT32, b.out, mean); };
    Array source = random.array(b.source_kind(), static_cast<size_t>(b.n) * b.h * b.w * b.channels, 0.3f);
    Array whitening = random.array(Kind::FLOAT32, static_cast<size_t>(b.whitened) * b.channels * 4);
    Array weights = random.array(Kind::FLOAT32, static_cast<size_t>(b.out) * b.in() * 9);
    Array gamma = vector(1), beta = vector(0), running_mean = vector(0), running_variance = vector(3);
    Array grad_out = random.array(b.kind, b.size());
    Array* const arrays[] = {nullptr, &source, &weights, &whitening, &gamma, &grad_out};
    if (Array* array = arrays[static_cast<int>(b.nan)]) array->set_bits(array->size() - 1, UNUSUAL_NAN);

    const auto run_forward = [&](bool scores) {
        return outputs_of(
            findings, b.name(scores ? "scoring" : "forward"), {source, whitening, weights, gamma, beta},
            {Array(b.kind, scores ? 0 : b.size()), Array(b.kind, b.size()), Array(Kind::FLOAT32, 4 * b.out), running_mean,
             running_variance},
            [&](Arrays& in, Arrays& out, int num_threads) {
                thumbnet_strided_forward(
                    in[0].data(), b.whitened ? in[1].floats() : nullptr, in[2].floats(), in[3].floats(), in[4].floats(),
                    out[3].floats(), out[4].floats(), MOMENTUM, EPSILON, out[scores].data(), out[1].data(),
                    out[2].floats(), is_bfloat16, b.n, b.h, b.w, b.channels, b.out, b.whitened, b.whiten_padding,
                    c.out_stride(), c.in_stride(), c.tap_stride(), scores, num_threads);
            });
    };
    const Arrays forward = run_forward(false), scored = run_forward(true);
    const Arrays backward = outputs_of(
        findings, b.name("backward"), {grad_out, source, whitening, forward[0], weights, forward[2]},
        {Array(b.kind, b.whitened ? 0 : source.size()), Array(Kind::FLOAT32, weights.size()), Array(Kind::FLOAT32, b.out),
         Array(Kind::FLOAT32, b.out)},
        [&](Arrays& in, Arrays& out, int num_threads) {
            thumbnet_strided_backward(in[0].data(), in[1].data(), b.whitened ? in[2].floats() : nullptr, in[3].data(),
                                      in[4].floats(), in[5].floats(), b.whitened ? nullptr : out[0].data(),
                                      out[1].floats(), out[2].floats(), out[3].floats(), is_bfloat16, b.n, b.h, b.w,
                                      b.channels, b.out, b.whitened, b.whiten_padding, c.out_stride(), c.in_stride(),
                                      c.tap_stride(), num_threads);
        });

    const Doubles maps = b.maps(doubles_of(source), doubles_of(whitening)), from_weights = doubles_of(weights);
    const Doubles z = doubles_of(forward[0]);
    const NormReference norm(z, gamma, beta, EPSILON);
    const NormSlopes slopes(norm, z, doubles_of(grad_out));
    Doubles convolved(b.size()), of_maps(b.whitened ? 0 : maps.size()), of_weights(weights.size());
    b.over_products([&](size_t from, size_t to, size_t weight) {
        convolved[to] += maps[from] * from_weights[weight];
        of_weights[weight] += slopes.of_z[to] * maps[from];
        if (!b.whitened) of_maps[from] += slopes.of_z[to] * from_weights[weight];
    });
    const MayBeNan may_be_nan = [&](size_t) { return b.nan != NanAt::NOTHING; };
    const double share = is_bfloat16 ? 8e-3 : 5e-5;
    const MayBeNan weights_may_be_nan = [&](size_t i) {  // each channel's follow from its own gradient and all maps
        const bool in_maps = b.nan == NanAt::SOURCE || b.nan == NanAt::WHITENING;
        return in_maps || (may_be_nan(i) && i / (weights.size() / b.out) + 1 == static_cast<size_t>(b.out));
    };
    expect(findings, b.name("z"), forward[0], convolved, 1e-5, may_be_nan);
    expect(findings, b.name("forward"), forward[1], norm.activated(z), is_bfloat16 ? 1e-3 : 1e-5);
    const NormReference by_running(gamma, beta, running_mean, running_variance, EPSILON);
    expect(findings, b.name("scoring"), scored[1], by_running.activated(z), is_bfloat16 ? 1e-3 : 1e-5);
    if (!scored[3].has_the_bytes_of(running_mean) || !scored[4].has_the_bytes_of(running_variance))
        findings.fail(b.name("scoring"), "the running statistics were changed");
    expect(findings, b.name("running mean"), forward[3], norm.moved(running_mean, false, MOMENTUM), 1e-5);
    expect(findings, b.name("running variance"), forward[4], norm.moved(running_variance, true, MOMENTUM), 1e-5);
    expect(findings, b.name("backward, of maps"), backward[0], of_maps, share, may_be_nan);
    expect(findings, b.name("backward, of weights"), backward[1], of_weights, share, weights_may_be_nan);
    expect(findings, b.name("backward, of gamma"), backward[2], slopes.of_gamma, share);
    expect(findings, b.name("backward, of beta"), backward[3], slopes.of_beta, share);
}

inline void check_strided_blocks(Findings& findings) {
    Random random;
    for (const Kind kind : {Kind::FLOAT32, Kind::BFLOAT16}) {
        const auto run = [&](const StridedBlock& block) { check_strided_block(findings, random, block); };
        const int channels[][2] = {{1, 8}, {3, 8}, {8, 16}, {16, 24}, {24, 40}, {62, 8}, {13, 104}};
        for (const auto& [in, out] : channels) run({3, 5, 4, in, out, 0, 0, kind});
        const int sides[][2] = {{1, 1}, {2, 2}, {3, 2}, {1, 6}, {7, 4}, {8, 8}, {5, 9}};
        for (const auto& [h, w] : sides) {
            const int n = std::max(3, 60 / (h * w));
            run({n, h, w, 8, 16, 0, 0, kind, Weights::BY_CHANNEL});
            for (int padding = 0; padding <= 2; padding++)
                if (std::min(h, w) + 2 * padding > 1) run({n, h, w, 3, 8, 24, padding, kind});
        }
        run({20, 5, 5, 8, 8, 0, 0, kind});  // several images a part
        run({20, 5, 5, 3, 8, 24, 1, kind});
        run({3, 6, 6, 1, 16, 8, 1, kind});
        run({3, 6, 6, 4, 24, 32, 1, kind, Weights::BY_CHANNEL});
        for (const NanAt nan : {NanAt::SOURCE, NanAt::WEIGHTS, NanAt::WHITENING, NanAt::GAMMA, NanAt::GRADIENT})
            for (const int whitened : {0, 24})
                if (whitened || nan != NanAt::WHITENING) run({3, 5, 6, 3, 16, whitened, whitened / 24, kind, Weights::BY_TAP, nan});
    }
}

}  // namespace check
