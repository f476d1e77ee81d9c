// The blocks against their definition, forward and backward.

#pragma once

#include <algorithm>
#include <cmath>

#include "arrays.h"
#include "block.h"
#include "convolutions.h"
#include "kernels.h"
#include "references.h"

namespace check {

// z, largest, y, what it saves, running mean and variance, and mixed; in scoring z and mixed are not kept.
inline Arrays run_forward(Findings& findings, const Block& b, const BlockValues& v, bool scores) {
    const Convolution& c = b.shape;
    const int is_bfloat16 = c.kind == Kind::BFLOAT16;
    const size_t unpooled = b.type == Type::NORM && !b.pools ? 0 : b.size(), mixed = b.type == Type::SEPARABLE ? b.before_size() : 0;
    return outputs_of(
        findings, b.name(scores ? "scoring" : "forward"), {v.x, v.weights, v.taps, v.gamma, v.beta, v.shortcut},
        {Array(c.kind, scores ? 0 : unpooled), Array(Kind::BYTES, b.pools ? b.size() : 0), Array(c.kind, b.size()),
         Array(Kind::FLOAT32, 4 * c.out), v.running_mean, v.running_variance, Array(c.kind, scores ? 0 : mixed)},
        [&](Arrays& in, Arrays& out, int num_threads) {
            void *x = in[0].data(), *y = out[2].data(), *z = scores ? y : unpooled ? out[0].data() : x;
            float *gamma = in[3].floats(), *beta = in[4].floats(), *mean = out[4].floats(), *variance = out[5].floats();
            uint8_t* largest = b.pools ? out[1].bytes() : nullptr;
            if (b.type == Type::NORM)
                thumbnet_norm_forward(x, b.has_shortcut ? in[5].data() : nullptr, gamma, beta, mean, variance, MOMENTUM,
                                      EPSILON, z, largest, y, out[3].floats(), is_bfloat16, c.n, c.h, c.w, c.out,
                                      scores, num_threads);
            else if (b.type == Type::SEPARABLE)
                thumbnet_separable_forward(x, in[1].floats(), in[2].floats(), gamma, beta, mean, variance, MOMENTUM,
                                           EPSILON, scores ? nullptr : out[6].data(), z, largest, y, out[3].floats(),
                                           is_bfloat16, c.n, c.h, c.w, c.in, c.out, c.dilation, b.has_shortcut, scores,
                                           num_threads);
            else
                thumbnet_plain_forward(x, in[1].floats(), gamma, beta, mean, variance, MOMENTUM, EPSILON, z, largest, y,
                                       out[3].floats(), is_bfloat16, c.n, c.h, c.w, c.in, c.out, c.padding, c.dilation,
                                       c.out_stride(), c.in_stride(), c.tap_stride(), b.has_shortcut, scores, num_threads);
        });
}

// A block that scores, from the z of training, by the running statistics, which it leaves as they are.
inline void check_scoring(Findings& findings, const Block& b, const BlockValues& v, const Doubles& z) {
    const Arrays found = run_forward(findings, b, v, true);
    Doubles y = NormReference(v.gamma, v.beta, v.running_mean, v.running_variance, EPSILON).activated(z);
    for (size_t i = 0; b.has_shortcut && i < y.size(); i++) y[i] += b.type == Type::NORM ? v.shortcut[i] : v.x[i];
    expect(findings, b.name("scoring"), found[2], y, b.shape.kind == Kind::BFLOAT16 ? 1e-3 : 1e-5);
    if (!found[4].has_the_bytes_of(v.running_mean) || !found[5].has_the_bytes_of(v.running_variance))
        findings.fail(b.name("scoring"), "the running statistics were changed");
}

// z and where it comes from, against the convolutions' definition.
inline void check_convolved(Findings& findings, const Block& b, const BlockValues& v) {
    Doubles t(b.type == Type::NORM ? 0 : b.before_size()), x = doubles_of(v.x), weights = doubles_of(v.weights);
    // A NaN in the last weights is one in the last channel: a plain convolution's tiles have it whole.
    const MayBeNan may_be_nan = [&](size_t i) {
        return b.nan == NanIn::MAPS || (b.nan == NanIn::WEIGHTS && b.is_of_last_channel(i));
    };
    if (b.type == Type::NORM) t = x;
    if (b.type == Type::PLAIN)
        b.shape.over_products([&](size_t from, size_t to, size_t weight) { t[to] += x[from] * weights[weight]; });
    if (b.type == Type::SEPARABLE) {
        Doubles mixed(b.before_size());
        const Doubles taps = doubles_of(v.taps);
        b.over_pairs([&](size_t from, size_t to, size_t weight) { mixed[to] += x[from] * weights[weight]; });
        b.over_taps([&](size_t from, size_t to, size_t tap) { t[to] += mixed[from] * taps[tap]; });
        expect(findings, b.name("mixed"), v.results[6], mixed, 1e-5);
    }
    if (!b.pools) {
        if (b.type != Type::NORM) expect(findings, b.name("z"), v.results[0], t, 1e-5, may_be_nan);
        return;
    }
    const Pooled before = b.before();
    const Doubles first = before.places(t), places = places_of(v.results[1], b.shape.kind, b.shape.out);
    if (b.type == Type::NORM) {  // of values that are not computed anew
        if (places != first) findings.fail(b.name("largest"), "is not the first of the largest");
        expect(findings, b.name("z"), v.results[0], before.taken(t, first), 0);
        return;
    }
    expect(findings, b.name("z"), v.results[0], before.taken(t, first), 1e-5, may_be_nan);
    if (*std::max_element(places.begin(), places.end()) > 3) return findings.fail(b.name("largest"), "is no place");
    if (b.nan == NanIn::NOTHING) expect(findings, b.name("largest"), v.results[0], before.taken(t, places), 1e-5);
}

inline void check_backward(Findings& findings, const Block& b, BlockValues& v, const NormReference& norm,
                           const Doubles& z) {
    const Convolution& c = b.shape;
    const int is_bfloat16 = c.kind == Kind::BFLOAT16;
    const bool has_z = b.pools || b.type != Type::NORM;
    const size_t num_taps = b.type == Type::SEPARABLE ? v.taps.size() : 0;
    Array by_output = v.weights;  // separable: [out, in]
    if (b.type == Type::SEPARABLE)
        for (int i = 0; i < c.in; i++)
            for (int o = 0; o < c.out; o++) by_output.set(o * c.in + i, static_cast<float>(v.weights[i * c.out + o]));
    const Arrays found = outputs_of(
        findings, b.name("backward"),
        {v.grad_out, v.x, has_z ? v.results[0] : v.x, v.results[1], by_output, v.taps, v.results[3], v.results[6]},
        {Array(c.kind, b.wants_maps() ? v.x.size() : 0), Array(Kind::FLOAT32, b.wants_weights() ? b.num_weights() : 0),
         Array(Kind::FLOAT32, num_taps), Array(Kind::FLOAT32, c.out), Array(Kind::FLOAT32, c.out)},
        [&](Arrays& in, Arrays& out, int num_threads) {
            const uint8_t* largest = b.pools ? in[3].bytes() : nullptr;
            void *grad_out = in[0].data(), *x = in[1].data(), *values = in[2].data();
            void* of_x = b.wants_maps() ? out[0].data() : nullptr;
            float *saved = in[6].floats(), *of_gamma = out[3].floats(), *of_beta = out[4].floats();
            if (b.type == Type::NORM)
                thumbnet_norm_backward(grad_out, values, largest, saved, of_x, of_gamma, of_beta, is_bfloat16, c.n, c.h,
                                       c.w, c.out, num_threads);
            else if (b.type == Type::SEPARABLE)
                thumbnet_separable_backward(grad_out, x, in[7].data(), values, largest, in[4].floats(), in[5].floats(),
                                            saved, of_x, out[1].floats(), out[2].floats(), of_gamma, of_beta,
                                            is_bfloat16, c.n, c.h, c.w, c.in, c.out, c.dilation, b.has_shortcut,
                                            num_threads);
            else
                thumbnet_plain_backward(grad_out, x, values, largest, in[4].floats(), saved, of_x,
                                        b.wants_weights() ? out[1].floats() : nullptr, of_gamma, of_beta, is_bfloat16, c.n, c.h, c.w, c.in, c.out, c.padding,
                                        c.dilation, c.out_stride(), c.in_stride(), c.tap_stride(), b.has_shortcut,
                                        num_threads);
        });

    const Doubles grad_out = doubles_of(v.grad_out), x = doubles_of(v.x), weights = doubles_of(v.weights);
    const NormSlopes slopes(norm, z, grad_out);
    const Doubles of_t = b.pools ? b.before().put_back(slopes.of_z, places_of(v.results[1], c.kind, c.out)) : slopes.of_z;
    Doubles of_x(v.x.size()), of_weights(b.type == Type::NORM ? 0 : b.num_weights()), of_taps(num_taps);
    if (b.has_shortcut && b.type != Type::NORM) of_x = grad_out;
    if (b.type == Type::NORM) of_x = of_t;
    if (b.type == Type::PLAIN)
        c.over_products([&](size_t from, size_t to, size_t weight) {
            of_x[from] += of_t[to] * weights[weight];
            of_weights[weight] += of_t[to] * x[from];
        });
    double largest_term = 0;  // of the taps' gradient, which is nearly zero where only a filter's middle meets the maps
    if (b.type == Type::SEPARABLE) {
        const Doubles mixed = doubles_of(v.results[6]), taps = doubles_of(v.taps);
        Doubles of_mixed(mixed.size());
        b.over_taps([&](size_t from, size_t to, size_t tap) {
            of_mixed[from] += of_t[to] * taps[tap];
            of_taps[tap] += of_t[to] * mixed[from];
            largest_term = std::max(largest_term, std::abs(of_t[to] * mixed[from]));
        });
        b.over_pairs([&](size_t from, size_t to, size_t weight) {
            of_x[from] += of_mixed[to] * weights[weight];
            of_weights[weight] += of_mixed[to] * x[from];
        });
    }
    const double share = is_bfloat16 ? 8e-3 : 5e-5;
    const MayBeNan may_be_nan = [&](size_t) { return b.nan != NanIn::NOTHING && b.type != Type::NORM; };
    const MayBeNan weights_may_be_nan = [&](size_t i) {  // each channel's follow from its own gradient and all maps
        return b.nan == NanIn::MAPS || (may_be_nan(i) && b.is_weight_of_last_channel(i));
    };
    if (b.wants_maps()) expect(findings, b.name("backward, of maps"), found[0], of_x, share, may_be_nan);
    if (b.wants_weights() || b.type == Type::NORM)
        expect(findings, b.name("backward, of weights"), found[1], of_weights, share, weights_may_be_nan);
    expect(findings, b.name("backward, of taps"), found[2], of_taps, share, may_be_nan, largest_term);
    expect(findings, b.name("backward, of gamma"), found[3], slopes.of_gamma, share);
    expect(findings, b.name("backward, of beta"), found[4], slopes.of_beta, share);
}

inline void check_block(Findings& findings, Random& random, const Block& b) {
    BlockValues v(b, random);
    v.results = run_forward(findings, b, v, false);
    check_convolved(findings, b, v);
    const Doubles z = doubles_of(b.pools || b.type != Type::NORM ? v.results[0] : v.x);
    const NormReference norm(z, v.gamma, v.beta, EPSILON);
    Doubles y = norm.activated(z);
    for (size_t i = 0; b.has_shortcut && i < y.size(); i++) y[i] += b.type == Type::NORM ? v.shortcut[i] : v.x[i];
    expect(findings, b.name("forward"), v.results[2], y, b.shape.kind == Kind::BFLOAT16 ? 1e-3 : 1e-5);
    expect(findings, b.name("running mean"), v.results[4], norm.moved(v.running_mean, false, MOMENTUM), 1e-5);
    expect(findings, b.name("running variance"), v.results[5], norm.moved(v.running_variance, true, MOMENTUM), 1e-5);
    check_backward(findings, b, v, norm, z);
    check_scoring(findings, b, v, z);
}

inline void check_blocks(Findings& findings) {
    Random random;
    const NanIn nans[] = {NanIn::MAPS, NanIn::GAMMA, NanIn::BETA, NanIn::WEIGHTS, NanIn::GRADIENT};
    for (const Kind kind : {Kind::FLOAT32, Kind::BFLOAT16}) {
        const auto run = [&](Type type, Convolution shape, bool pools, bool has_shortcut, NanIn nan = NanIn::NOTHING) {
            shape.kind = kind;
            check_block(findings, random, {type, shape, pools, has_shortcut, nan});
        };
        for (const int channels : {8, 16, 24, 32, 40, 48, 104})
            for (int form = 0; form < 4; form++)
                run(Type::NORM, {3, 3, 5, channels, channels, 1, 1, kind}, form & 1, form & 2);
        const int batches[][3] = {{20, 1, 1}, {15, 2, 2}, {3, 7, 2}, {17, 4, 4}, {40, 3, 3}, {1, 9, 6}};
        for (const auto& [n, h, w] : batches)
            for (const bool pools : {false, true})
                if (!pools || std::min(h, w) > 1) run(Type::NORM, {n, h, w, 48, 48, 1, 1, kind}, pools, n % 2);

        const int channels[][2] = {{3, 8},   {8, 8},   {16, 16}, {16, 24}, {24, 16},  {62, 32},
                                   {32, 40}, {40, 48}, {48, 56}, {88, 72}, {24, 104}};
        for (const auto& [in, out] : channels) {
            const bool pools = in % 3 == 0;
            const int n = pools ? 4 : 2;
            run(Type::SEPARABLE, {n, 4, 3, in, out, 1, 1, kind}, pools, in == out);
            if (in >= CHANNEL_MULTIPLE) run(Type::PLAIN, {n, 4, 3, in, out, 1, 1, kind}, pools, in == out);
        }
        const int sides[][2] = {{2, 2}, {3, 2}, {4, 4}, {6, 6}, {7, 3}, {8, 5}};
        for (const auto& [h, w] : sides)
            for (int dilation = 1; dilation <= 3; dilation++)
                for (int form = 0; form < 3; form++)
                    for (const Type type : {Type::SEPARABLE, Type::PLAIN}) {
                        const int n = std::max(3, 40 / (h * w));  // enough values for a variance that is not near zero
                        run(type, {n, h, w, 16, 16, dilation, dilation, kind}, form == 1, form == 2);
                    }
        for (int dilation = 1; dilation <= 3; dilation++)
            for (int padding = 0; padding < dilation; padding++)
                for (const bool pools : {false, true}) run(Type::PLAIN, {4, 9, 8, 20, 8, padding, dilation, kind}, pools, false);
        run(Type::PLAIN, {34, 6, 8, 8, 16, 1, 1, kind, Weights::BY_CHANNEL}, true, false);
        run(Type::PLAIN, {50, 2, 2, 8, 8, 1, 1, kind}, false, true);
        run(Type::SEPARABLE, {34, 3, 4, 16, 16, 1, 1, kind}, false, true);
        for (const Type type : {Type::NORM, Type::SEPARABLE, Type::PLAIN}) run(type, {1, 9, 8, 16, 16, 1, 1, kind}, false, true);
        for (int wanted = 0; wanted < 3; wanted++) {
            Convolution shape{4, 6, 5, 16, 8, 1, 1, kind};
            shape.wants_maps = wanted & 1, shape.wants_weights = wanted & 2;
            run(Type::PLAIN, shape, false, false);
            shape.wants_weights = true;  // a separable block's are always wanted
            run(Type::SEPARABLE, shape, true, false);
        }
        for (const NanIn nan : nans)
            for (const Type type : {Type::NORM, Type::SEPARABLE, Type::PLAIN})
                for (const bool pools : {false, true})
                    if (type != Type::NORM || nan != NanIn::WEIGHTS)
                        run(type, {3, 4, 6, 32, 32, 1, 1, kind}, pools, !pools, nan);
    }
}

}  // namespace check
