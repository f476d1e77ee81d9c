// Vectors of float32, read from float32 or bfloat16 and written as these, alone or by groups of neighbouring channels.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#ifdef __AVX__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX512DQ__
constexpr int LANES = 16;
#elif defined(__ARM_NEON)  // twice as many are two registers, which g++ keeps in memory
constexpr int LANES = 4;
#else
constexpr int LANES = 8;
#endif

// Channels come in multiples of this. The last of them may be half a vector (`load_lanes`, `store_lanes`).
constexpr int CHANNEL_MULTIPLE = 8;
static_assert(CHANNEL_MULTIPLE % LANES == 0 || LANES == 2 * CHANNEL_MULTIPLE, "the rest is half a vector or none");

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

// The first `lanes` of a vector: all or, where LANES is 16, half of them. The others are read as zeros and not written.
template <int lanes, typename Stored>
inline Vector load_lanes(const Stored* from) {
    if constexpr (lanes == LANES) {
        return load(from);
    } else {
#ifdef __AVX512DQ__
        if constexpr (std::is_same_v<Stored, float>)
            return reinterpret_cast<Vector>(_mm512_zextps256_ps512(_mm256_loadu_ps(from)));
        const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        const Integers bits = widen(reinterpret_cast<Halves>(_mm256_zextsi128_si256(halves))) << 16;
        return reinterpret_cast<const Vector&>(bits);
#endif
    }
}
template <int lanes, typename Stored>
inline void store_lanes(Stored* to, Vector values) {
    if constexpr (lanes == LANES) {
        store(to, values);
    } else {
#ifdef __AVX512DQ__
        if constexpr (std::is_same_v<Stored, float>) {
            _mm256_storeu_ps(to, _mm512_castps512_ps256(reinterpret_cast<__m512>(values)));
        } else {
            Bfloat16 rounded[LANES];
            store(rounded, values);
            std::memcpy(to, rounded, lanes * sizeof(Bfloat16));
        }
#endif
    }
}
#ifdef __ARM_NEON  // by way of 16 bits: g++ would convert four bytes one by one
typedef uint8_t EightBytes __attribute__((vector_size(8)));
typedef uint16_t EightHalves __attribute__((vector_size(16)));
template <int lanes>
inline Integers load_bytes(const uint8_t* from) {
    EightBytes bytes = {};
    std::memcpy(&bytes, from, lanes);
    const EightHalves wider = __builtin_convertvector(bytes, EightHalves);
    Halves halves;
    std::memcpy(&halves, &wider, sizeof halves);
    return widen(halves);
}
template <int lanes>
inline void store_bytes(uint8_t* to, Integers values) {
    const Halves halves = narrow(values);
    EightHalves wider = {};
    std::memcpy(&wider, &halves, sizeof halves);
    const EightBytes bytes = __builtin_convertvector(wider, EightBytes);
    std::memcpy(to, &bytes, lanes);
}
#else
template <int lanes>
inline Integers load_bytes(const uint8_t* from) {
    Bytes bytes = {};
    std::memcpy(&bytes, from, lanes);
#if defined(__AVX512DQ__)  // the compiler would convert bytes one by one
    return reinterpret_cast<Integers>(_mm512_maskz_cvtepu8_epi32(0xffff, reinterpret_cast<__m128i>(bytes)));
#elif defined(__AVX2__)
    return reinterpret_cast<Integers>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(reinterpret_cast<const int64_t&>(bytes))));
#else
    return __builtin_convertvector(bytes, Integers);
#endif
}
template <int lanes>
inline void store_bytes(uint8_t* to, Integers values) {  // of integers from 0 to 255
#if defined(__AVX512DQ__)
    const Bytes bytes = reinterpret_cast<Bytes>(_mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(values)));
#elif defined(__AVX2__)
    const __m256i integers = reinterpret_cast<__m256i>(values);
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
    const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(halves, halves));
#else
    const Bytes bytes = __builtin_convertvector(values, Bytes);
#endif
    std::memcpy(to, &bytes, lanes);
}
#endif

// A value whose NaN survives the rounding to bfloat16: one with other bits could overflow to zero there.
inline float with_usual_nan(float value) { return value == value ? value : std::numeric_limits<float>::quiet_NaN(); }

// `width` neighbouring channels: two vectors, one, or half of one. Two of bfloat16 are the even channels and the odd ones:
// taking a word's halves apart is two operations where widening is four. So float32 copies of bfloat16 maps have their
// channels in that order, and with them the weights and statistics (`order_of`).
template <int width>
struct Group {
    static constexpr int count = width > LANES ? width / LANES : 1;
    static constexpr int lanes = width / count;
    Vector parts[count];
};

template <int width>
inline Group<width> load_group(const float* from) {
    Group<width> group;
    for (int k = 0; k < group.count; k++) group.parts[k] = load_lanes<group.lanes>(from + k * LANES);
    return group;
}
template <int width>
inline Group<width> load_group(const Bfloat16* from) {
    if constexpr (width <= LANES) {
        return {{load_lanes<width>(from)}};
    } else {
        const Words words = *reinterpret_cast<const Words*>(from);
        const Words halves[2] = {words << 16, words & 0xffff0000u};
        return {{reinterpret_cast<const Vector&>(halves[0]), reinterpret_cast<const Vector&>(halves[1])}};
    }
}

template <int width>
inline void store_group(float* to, const Group<width>& group) {
    for (int k = 0; k < group.count; k++) store_lanes<Group<width>::lanes>(to + k * LANES, group.parts[k]);
}
template <int width>
inline void store_group(Bfloat16* to, const Group<width>& group) {
    if constexpr (width <= LANES) {
        store_lanes<width>(to, group.parts[0]);
    } else {
        const Words even = reinterpret_cast<const Words&>(group.parts[0]) + 0x8000u;
        const Words odd = reinterpret_cast<const Words&>(group.parts[1]) + 0x8000u;
        *reinterpret_cast<Words*>(to) = (even >> 16) | (odd & 0xffff0000u);
    }
}

// work(lanes, c) for vectors, the last of them perhaps a half, from channel c on.
template <typename Work>
inline void over_vectors(int channels, const Work& work) {
    int c = 0;
    for (; c + LANES <= channels; c += LANES) work(std::integral_constant<int, LANES>(), c);
    if constexpr (LANES > CHANNEL_MULTIPLE)
        if (c < channels) work(std::integral_constant<int, CHANNEL_MULTIPLE>(), c);
}

// work(width, c) for groups from channel c on: as many of two vectors as there are, then at most one and a half.
template <typename Work>
inline void over_channels(int channels, const Work& work) {
    int c = 0;
    for (; c + 2 * LANES <= channels; c += 2 * LANES) work(std::integral_constant<int, 2 * LANES>(), c);
    over_vectors(channels - c, [&](auto lanes, int rest) { work(lanes, c + rest); });
}

}  // namespace
