// Arrays as the kernels get them, between guards, and what must hold of every call of a kernel.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace check {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t GUARD = 0;  // the sanitizer has its own
#else
constexpr size_t GUARD = 256;  // bytes
#endif
constexpr uint8_t UNWRITTEN = 0xff;            // four or two of these are a NaN
constexpr uint32_t UNUSUAL_NAN = 0x7fffffffu;  // of which rounding to bfloat16 would make a zero

enum class Kind { FLOAT32, BFLOAT16, BYTES };

inline size_t bytes_of(Kind kind) { return kind == Kind::FLOAT32 ? 4 : kind == Kind::BFLOAT16 ? 2 : 1; }

// An array between guards. It starts one element after an aligned address, and is full of NaNs until it is set.
class Array {
   public:
    Array(Kind kind, size_t size)
        : kind_(kind), size_(size), bytes_(2 * GUARD + (size + 1) * bytes_of(kind), UNWRITTEN) {}

    size_t size() const { return size_; }
    Kind kind() const { return kind_; }
    void* data() { return bytes_.data() + start(); }
    float* floats() { return static_cast<float*>(data()); }
    uint8_t* bytes() { return static_cast<uint8_t*>(data()); }
    bool has_the_bytes_of(const Array& other) const { return bytes_ == other.bytes_; }

    double operator[](size_t i) const {
        const uint8_t* from = bytes_.data() + start() + i * bytes_of(kind_);
        if (kind_ == Kind::BYTES) return *from;
        uint32_t bits = 0;
        std::memcpy(reinterpret_cast<uint8_t*>(&bits) + 4 - bytes_of(kind_), from, bytes_of(kind_));
        float value;
        std::memcpy(&value, &bits, 4);
        return value;
    }
    void set_bits(size_t i, uint32_t bits) {  // of a float32: bfloat16 is the upper half
        std::memcpy(bytes_.data() + start() + i * bytes_of(kind_),
                    reinterpret_cast<uint8_t*>(&bits) + 4 - bytes_of(kind_), bytes_of(kind_));
    }
    void set(size_t i, float value) {
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        set_bits(i, bits);
    }
    bool guards_are_intact() const {
        for (size_t i = 0; i < bytes_.size(); i++)
            if ((i < start() || i >= start() + size_ * bytes_of(kind_)) && bytes_[i] != UNWRITTEN) return false;
        return true;
    }

   private:
    size_t start() const { return GUARD + bytes_of(kind_); }
    Kind kind_;
    size_t size_;
    std::vector<uint8_t> bytes_;
};

// Random numbers, the same on every machine: sums of four even ones, which are nearly normal. Source: splitmix64.
class Random {
   public:
    float draw(float mean, float deviation) {
        uint64_t bits = state_ += 0x9e3779b97f4a7c15u;
        bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
        bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
        bits ^= bits >> 31;
        const uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        return mean + deviation * 1.7320508f * (static_cast<float>(sum) * 0x1p-16f - 2);
    }
    Array array(Kind kind, size_t size, float mean = 0, float deviation = 1) {
        Array array(kind, size);
        for (size_t i = 0; i < size; i++) array.set(i, draw(mean, deviation));
        return array;
    }

   private:
    uint64_t state_ = 0;
};

// What was found, a line each.
struct Findings {
    int num_calls = 0, num_failures = 0;

    void fail(const std::string& call, const std::string& words) {
        num_failures++;
        std::printf("FAILED %s: %s\n", call.c_str(), words.c_str());
    }
};

using Arrays = std::vector<Array>;
using Named = std::vector<std::pair<std::string, Array*>>;
using Kernel = std::function<void(Arrays& inputs, Arrays& outputs, int num_threads)>;

// The outputs of a kernel, which must write nothing else, and must not depend on the number of threads.
inline Arrays outputs_of(Findings& findings, const std::string& name, const Arrays& inputs, const Arrays& outputs,
                         const Kernel& kernel) {
    Arrays first;
    for (const int num_threads : {1, 3}) {
        Arrays given = inputs, results = outputs;
        kernel(given, results, num_threads);
        findings.num_calls++;
        if (num_threads == 1) first = results;
        for (size_t k = 0; k < given.size(); k++)
            if (!given[k].has_the_bytes_of(inputs[k])) findings.fail(name, "input " + std::to_string(k) + " was changed");
        for (size_t k = 0; k < results.size(); k++) {
            if (!results[k].guards_are_intact())
                findings.fail(name, "bytes outside of output " + std::to_string(k) + " were written");
            if (!results[k].has_the_bytes_of(first[k]))
                findings.fail(name, "output " + std::to_string(k) + " is another with " + std::to_string(num_threads) +
                                        " threads");
        }
    }
    return first;
}

// Whether a result may be NaN where the expected value is not, as near to one in maps of which tiles are worked on.
using MayBeNan = std::function<bool(size_t)>;
inline bool never(size_t) { return false; }

// Each element must be as expected but for `share` of the largest expected value, or of `at_least` where what is summed up
// nearly cancels, and bfloat16's rounding.
inline void expect(Findings& findings, const std::string& name, const Array& result,
                   const std::vector<double>& expected, double share, const MayBeNan& may_be_nan = never,
                   double at_least = 0) {
    double largest = at_least, worst = 0;
    for (const double value : expected)
        if (std::abs(value) > largest) largest = std::abs(value);  // a NaN is not
    size_t num_wrong = 0, where = 0;
    for (size_t i = 0; i < expected.size(); i++) {
        const double rounding = result.kind() == Kind::BFLOAT16 ? 0x1p-8 * std::abs(expected[i]) : 0;
        const double error = std::abs(result[i] - expected[i]), excess = error - rounding - share * largest;
        const bool is_right = std::isnan(expected[i]) ? std::isnan(result[i])
                              : std::isnan(result[i]) ? may_be_nan(i)
                                                      : excess <= 0;
        if (is_right) continue;
        if (num_wrong++ == 0 || excess > worst) where = i, worst = excess;
    }
    if (expected.size() != result.size()) findings.fail(name, "another number of values is expected");
    if (num_wrong == 0) return;
    char words[200];
    std::snprintf(words, sizeof words, "%zu of %zu wrong; [%zu] is %.9g, not %.9g; the largest is %.3g", num_wrong,
                  expected.size(), where, result[where], expected[where], largest);
    findings.fail(name, words);
}

}  // namespace check
