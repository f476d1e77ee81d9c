// The sigmoid of vectors.

#pragma once

#include "vectors.h"

namespace {

// 2^exponent, to about 2 units in the last place: the power of the nearest integer, times a polynomial of the rest
// (Taylor's, of at most 1/2). The exponent is at most 126.
inline Vector power_of_two(Vector exponent) {
    const auto polynomial = [](Vector rest) {
        Vector sum = rest * 1.54035304e-4f + 1.33335581e-3f;
        sum = sum * rest + 9.61812911e-3f;
        sum = sum * rest + 5.55041087e-2f;
        sum = sum * rest + 2.40226507e-1f;
        sum = sum * rest + 6.93147181e-1f;
        return sum * rest + 1.0f;
    };
#ifdef __AVX512DQ__
    const auto raw = reinterpret_cast<__m512>(exponent);
    const __m512 whole = _mm512_maskz_roundscale_ps(0xffff, raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vector sum = polynomial(exponent - reinterpret_cast<Vector>(whole));
    return reinterpret_cast<Vector>(_mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(sum), whole));
#else
    exponent = exponent > -126.0f ? exponent : spread(-126.0f);
    const Vector shifted = exponent + 12582912.0f;  // 1.5 * 2^23: its last bits are then the nearest integer
    const Vector sum = polynomial(exponent - (shifted - 12582912.0f));
    const Integers scaled = reinterpret_cast<const Integers&>(sum) + (reinterpret_cast<const Integers&>(shifted) << 23);
    return reinterpret_cast<const Vector&>(scaled);
#endif
}

inline Vector sigmoid(Vector x) {
    Vector exponent = x * -1.44269504f;
    exponent = exponent < 126.0f ? exponent : spread(126.0f);
    const Vector divisor = 1.0f + power_of_two(exponent);
#ifdef __AVX512DQ__  // an estimate of 14 bits and Newton's step: half the time of a division
    const Vector estimate = reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(divisor)));
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
