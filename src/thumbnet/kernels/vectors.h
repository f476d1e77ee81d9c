// Vectors of float32, read from float32 or bfloat16 and written as these, alone or by groups of neighbouring channels.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX512DQ__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint32_t Words __attribute__((vector_size(4 * LANES), aligned(2), may_alias));  // two bfloat16 each
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }
inline Vector spread(float value) { return value - Vector{}; }

struct Bfloat16 {
    uint16_t bits;  // the upper half of a float32
};
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the even channels are taken for the lower halves of words");

// The same in both ways; the compiler takes twice as many instructions for its own conversions.
#ifdef __AVX512DQ__
inline Integers widen(Halves halves) {
    return reinterpret_cast<Integers>(_mm512_maskz_cvtepu16_epi32(0xffff, reinterpret_cast<__m256i>(halves)));
}
inline Halves narrow(Integers integers) {
    return reinterpret_cast<Halves>(_mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(integers)));
}
#else
inline Integers widen(Halves halves) { return __builtin_convertvector(halves, Integers); }
inline Halves narrow(Integers integers) { return __builtin_convertvector(integers, Halves); }
#endif

inline Vector load(const Bfloat16* from) {
    const Integers bits = widen(*reinterpret_cast<const Halves*>(from)) << 16;
    return reinterpret_cast<const Vector&>(bits);
}
inline void store(Bfloat16* to, Vector values) {  // to the nearest, ties away from zero
    const Integers bits = reinterpret_cast<const Integers&>(values);
    *reinterpret_cast<Halves*>(to) = narrow((bits + 0x8000) >> 16);
}

// A value whose NaN survives the rounding to bfloat16: one with other bits could overflow to zero there.
inline float with_usual_nan(float value) { return value == value ? value : std::numeric_limits<float>::quiet_NaN(); }

// One or two vectors of neighbouring channels. Two of bfloat16 are the even channels and the odd ones: taking a word's
// halves apart is two operations where widening is four. So float32 copies of bfloat16 maps have their channels in that
// order, and with them the weights and statistics (`order_of`).
template <int count>
struct Group {
    Vector parts[count];
};

template <int count>
inline Group<count> load_group(const float* from) {
    Group<count> group;
    for (int k = 0; k < count; k++) group.parts[k] = load(from + k * LANES);
    return group;
}
template <int count>
inline Group<count> load_group(const Bfloat16* from) {
    if constexpr (count == 1) {
        return {{load(from)}};
    } else {
        const Words words = *reinterpret_cast<const Words*>(from);
        const Words halves[2] = {words << 16, words & 0xffff0000u};
        return {{reinterpret_cast<const Vector&>(halves[0]), reinterpret_cast<const Vector&>(halves[1])}};
    }
}

template <int count>
inline void store_group(float* to, const Group<count>& group) {
    for (int k = 0; k < count; k++) store(to + k * LANES, group.parts[k]);
}
template <int count>
inline void store_group(Bfloat16* to, const Group<count>& group) {
    if constexpr (count == 1) {
        store(to, group.parts[0]);
    } else {
        const Words even = reinterpret_cast<const Words&>(group.parts[0]) + 0x8000u;
        const Words odd = reinterpret_cast<const Words&>(group.parts[1]) + 0x8000u;
        *reinterpret_cast<Words*>(to) = (even >> 16) | (odd & 0xffff0000u);
    }
}

// work(count, c) for groups of `count` vectors from channel c on; channels are a multiple of LANES.
template <typename Work>
inline void over_channels(int channels, const Work& work) {
    int c = 0;
    for (; c + 2 * LANES <= channels; c += 2 * LANES) work(std::integral_constant<int, 2>(), c);
    if (c < channels) work(std::integral_constant<int, 1>(), c);
}

}  // namespace
