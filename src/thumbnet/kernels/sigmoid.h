// The sigmoid of vectors.

#pragma once

#include "vectors.h"

namespace {

// The smaller and the larger of two, the limit where a value is NaN: in one operation where the processor has it, since
// the compiler takes four.
inline Vector at_most(Vector values, float limit) {
#ifdef __AVX512DQ__
    return reinterpret_cast<Vector>(_mm512_maskz_min_ps(0xffff, reinterpret_cast<__m512>(values),
                                                        reinterpret_cast<__m512>(spread(limit))));
#elif defined __AVX__
    return reinterpret_cast<Vector>(
        _mm256_min_ps(reinterpret_cast<__m256>(values), reinterpret_cast<__m256>(spread(limit))));
#else
    return values < limit ? values : spread(limit);
#endif
}
inline Vector at_least(Vector values, float limit) {
#ifdef __AVX512DQ__
    return reinterpret_cast<Vector>(_mm512_maskz_max_ps(0xffff, reinterpret_cast<__m512>(values),
                                                        reinterpret_cast<__m512>(spread(limit))));
#elif defined __AVX__
    return reinterpret_cast<Vector>(
        _mm256_max_ps(reinterpret_cast<__m256>(values), reinterpret_cast<__m256>(spread(limit))));
#else
    return values > limit ? values : spread(limit);
#endif
}

// 2^exponent, to about 2 units in the last place: the power of the nearest integer, times a polynomial of the rest, of at
// most 1/2 (Remez's, off by 8e-8). The exponent is at most 126.
inline Vector power_of_two(Vector exponent) {
    const auto polynomial = [](Vector rest) {
        Vector sum = rest * 1.32764713e-3f + 9.67554189e-3f;
        sum = sum * rest + 5.55071309e-2f;
        sum = sum * rest + 2.40221202e-1f;
        sum = sum * rest + 6.93146944e-1f;
        return sum * rest + 1.00000012f;
    };
#ifdef __AVX512DQ__
    const auto raw = reinterpret_cast<__m512>(exponent);
    const __m512 whole = _mm512_maskz_roundscale_ps(0xffff, raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vector sum = polynomial(exponent - reinterpret_cast<Vector>(whole));
    return reinterpret_cast<Vector>(_mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(sum), whole));
#else
    exponent = at_least(exponent, -126.0f);
    const Vector shifted = exponent + 12582912.0f;  // 1.5 * 2^23: its last bits are then the nearest integer
    const Vector sum = polynomial(exponent - (shifted - 12582912.0f));
    const Integers scaled = reinterpret_cast<const Integers&>(sum) + (reinterpret_cast<const Integers&>(shifted) << 23);
    return reinterpret_cast<const Vector&>(scaled);
#endif
}

inline Vector sigmoid(Vector x) {
    const Vector divisor = 1.0f + power_of_two(at_most(x * -1.44269504f, 126.0f));
#ifdef __AVX512DQ__  // an estimate of 14 bits and Newton's step: half the time of a division
    const Vector estimate = reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(divisor)));
    return estimate * (2.0f - divisor * estimate);
#elif defined __AVX__  // and one of 12 bits
    const Vector estimate = reinterpret_cast<Vector>(_mm256_rcp_ps(reinterpret_cast<__m256>(divisor)));
    return estimate * (2.0f - divisor * estimate);
#else
    return 1.0f / divisor;
#endif
}

// The same for results of type Stored. For bfloat16, which rounds by 4e-3 of a value, within 2e-4: a polynomial
// (Remez's) for the powers between two integers, and an estimate alone for the division.
template <typename Stored>
inline Vector sigmoid_for(Vector x) {
    return sigmoid(x);
}
#ifdef __AVX512DQ__
template <>
inline Vector sigmoid_for<Bfloat16>(Vector x) {
    const auto exponent = reinterpret_cast<__m512>(x * -1.44269504f);
    const auto rest = reinterpret_cast<Vector>(
        _mm512_maskz_reduce_ps(0xffff, exponent, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
    const Vector between = ((rest * 0.07802452f + 0.22606716f) * rest + 0.69583354f) * rest + 0.99992522f;
    const Vector divisor = 1.0f + reinterpret_cast<Vector>(_mm512_maskz_scalef_ps(
                                      0xffff, reinterpret_cast<__m512>(between), exponent));
    return reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(divisor)));
}
#endif

}  // namespace
