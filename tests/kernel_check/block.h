// A block - a norm alone, a separable one or a plain one - with or without pooling and a shortcut; and its values.

#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "arrays.h"
#include "convolutions.h"

namespace check {

constexpr double MOMENTUM = 0.1, EPSILON = 1e-5;
constexpr int CHANNEL_MULTIPLE = 8;

enum class Type { NORM, SEPARABLE, PLAIN };
enum class NanIn { NOTHING, MAPS, GAMMA, BETA, WEIGHTS, GRADIENT };

struct Block {
    Type type;
    Convolution shape;  // of the 3x3 convolution; of the norm alone, `in` and `out` are the same
    bool pools, has_shortcut;
    NanIn nan = NanIn::NOTHING;

    int h() const { return type == Type::PLAIN ? shape.out_h() : shape.h; }
    int w() const { return type == Type::PLAIN ? shape.out_w() : shape.w; }
    Pooled before() const { return {shape.n, h(), w(), shape.out}; }
    size_t before_size() const { return static_cast<size_t>(shape.n) * h() * w() * shape.out; }
    size_t size() const { return pools ? before().size() : before_size(); }
    bool wants_maps() const { return shape.wants_maps && (shape.in % CHANNEL_MULTIPLE == 0 || type == Type::PLAIN); }
    bool wants_weights() const { return shape.wants_weights && type != Type::NORM; }  // a plain block's may be frozen
    size_t num_weights() const {
        return type == Type::PLAIN ? static_cast<size_t>(shape.out) * shape.in * 9
                                   : static_cast<size_t>(shape.in) * shape.out;
    }
    bool is_of_last_channel(size_t i) const { return i % shape.out + 1 == static_cast<size_t>(shape.out); }
    bool is_weight_of_last_channel(size_t i) const {
        if (type == Type::SEPARABLE) return is_of_last_channel(i);  // [in, out]
        const size_t of_one = static_cast<size_t>(shape.in) * 9;     // plain: [out][..]
        return i / of_one + 1 == static_cast<size_t>(shape.out);
    }
    std::string name(const char* what) const {
        const char* types[] = {"norm, ", "separable, ", "plain, "};
        const char* nans[] = {"", " NaN in maps", " NaN in gamma", " NaN in beta", " NaN in weights", " NaN in gradient"};
        return types[static_cast<int>(type)] + shape.name(what) + (pools ? " pool" : "") +
               (has_shortcut ? " shortcut" : "") + nans[static_cast<int>(nan)];
    }
    // work(index of a map's value, of the result's, of the tap's) for a depthwise convolution
    template <typename Work>
    void over_taps(const Work& work) const {
        Convolution depthwise = shape;
        depthwise.in = depthwise.out = 1, depthwise.padding = depthwise.dilation;
        depthwise.over_products([&](size_t from, size_t to, size_t tap) {
            for (int c = 0; c < shape.out; c++) work(from * shape.out + c, to * shape.out + c, tap * shape.out + c);
        });
    }
    // work(pixel * in + input channel, pixel * out + output channel, input channel * out + output channel)
    template <typename Work>
    void over_pairs(const Work& work) const {
        for (size_t pixel = 0; pixel < static_cast<size_t>(shape.n) * shape.h * shape.w; pixel++)
            for (int i = 0; i < shape.in; i++)
                for (int o = 0; o < shape.out; o++) work(pixel * shape.in + i, pixel * shape.out + o, i * shape.out + o);
    }
};

// A block's values: what it is given, and what the kernels made of it on the way forward.
struct BlockValues {
    Array x, weights, taps, gamma, beta, running_mean, running_variance, shortcut, grad_out;
    Arrays results;  // z, largest, y, saved, running mean and variance, mixed

    BlockValues(const Block& b, Random& random)
        : x(random.array(b.shape.kind, b.shape.n * b.shape.in_size(), 0.5f)),
          weights(random.array(Kind::FLOAT32, b.num_weights(), 0, 0.5f)),
          taps(random.array(Kind::FLOAT32, 9 * b.shape.out)),
          gamma(random.array(Kind::FLOAT32, b.shape.out, 1)),
          beta(random.array(Kind::FLOAT32, b.shape.out)),
          running_mean(random.array(Kind::FLOAT32, b.shape.out)),
          running_variance(random.array(Kind::FLOAT32, b.shape.out, 3, 0.5f)),
          shortcut(random.array(b.shape.kind, b.size())),
          grad_out(random.array(b.shape.kind, b.size())) {
        Array* const arrays[] = {nullptr, &x, &gamma, &beta, b.type == Type::SEPARABLE ? &taps : &weights, &grad_out};
        if (Array* array = arrays[static_cast<int>(b.nan)]) array->set_bits(array->size() - 1, UNUSUAL_NAN);
    }
};

}  // namespace check
