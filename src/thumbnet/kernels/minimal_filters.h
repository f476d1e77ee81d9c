// Winograd's minimal filters F(m, 3): m neighbouring results of a filter with 3 taps from m + 2 products.
//
// y = At ((G g) * (Bt d)) for taps g and the m + 2 values d under them; both gradients follow by the transposed
// matrices. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016, arXiv:1509.09308). The
// points 0, +-1/sqrt 2, +-sqrt 2 and infinity halve the error of the usual 0, +-1, +-2: they come in pairs a and 1/a,
// which keeps all entries of the matrices below 3. F(3, 3) has the points +-1/2, +-3/2 and infinity, F(2, 3) 0, +-1 and
// infinity.
//
// Each function works on vectors: of channels for maps, of input or output channels for filters.

#pragma once

#include "vectors.h"

namespace {

constexpr float ROOT = 1.41421356237309505f;
constexpr float INVERSE_ROOT = 0.70710678118654752f;

struct F4 {
    static constexpr int OUT = 4, IN = 6;

    static inline void input(const Vector* d, Vector* r) {  // Bt d
        const Vector even1 = d[4] - 2.0f * d[2], odd1 = d[3] - 2.0f * d[1];
        const Vector even2 = d[4] - 0.5f * d[2], odd2 = d[3] - 0.5f * d[1];
        r[0] = d[0] + d[4] - 2.5f * d[2];
        r[1] = even1 + INVERSE_ROOT * odd1;
        r[2] = even1 - INVERSE_ROOT * odd1;
        r[3] = even2 + ROOT * odd2;
        r[4] = even2 - ROOT * odd2;
        r[5] = d[1] + d[5] - 2.5f * d[3];
    }
    static inline void input_adjoint(const Vector* r, Vector* d) {  // B r
        const Vector even1 = r[1] + r[2], odd1 = r[1] - r[2], even2 = r[3] + r[4], odd2 = r[3] - r[4];
        d[0] = r[0];
        d[1] = r[5] - ROOT * odd1 - INVERSE_ROOT * odd2;
        d[2] = -2.5f * r[0] - 2.0f * even1 - 0.5f * even2;
        d[3] = INVERSE_ROOT * odd1 + ROOT * odd2 - 2.5f * r[5];
        d[4] = r[0] + even1 + even2;
        d[5] = r[5];
    }
    static inline void output(const Vector* m, Vector* y) {  // At m
        const Vector even1 = m[1] + m[2], odd1 = m[1] - m[2], even2 = m[3] + m[4], odd2 = m[3] - m[4];
        y[0] = m[0] + even1 + even2;
        y[1] = INVERSE_ROOT * odd1 + ROOT * odd2;
        y[2] = 0.5f * even1 + 2.0f * even2;
        y[3] = 0.5f * INVERSE_ROOT * odd1 + 2.0f * ROOT * odd2 + m[5];
    }
    static inline void output_adjoint(const Vector* y, Vector* m) {  // A y
        const Vector even1 = y[0] + 0.5f * y[2], odd1 = y[1] + 0.5f * y[3];
        const Vector even2 = y[0] + 2.0f * y[2], odd2 = y[1] + 2.0f * y[3];
        m[0] = y[0];
        m[1] = even1 + INVERSE_ROOT * odd1;
        m[2] = even1 - INVERSE_ROOT * odd1;
        m[3] = even2 + ROOT * odd2;
        m[4] = even2 - ROOT * odd2;
        m[5] = y[3];
    }
    static inline void filter(const Vector* g, Vector* u) {  // G g
        const Vector even1 = (-2.0f / 3) * g[0] - (1.0f / 3) * g[2], odd1 = (-2.0f / 3 * INVERSE_ROOT) * g[1];
        const Vector even2 = (1.0f / 6) * g[0] + (1.0f / 3) * g[2], odd2 = (1.0f / 6 * ROOT) * g[1];
        u[0] = g[0];
        u[1] = even1 + odd1;
        u[2] = even1 - odd1;
        u[3] = even2 + odd2;
        u[4] = even2 - odd2;
        u[5] = g[2];
    }
    static inline void filter_adjoint(const Vector* u, Vector* g) {  // Gt u
        const Vector even1 = u[1] + u[2], odd1 = u[1] - u[2], even2 = u[3] + u[4], odd2 = u[3] - u[4];
        g[0] = u[0] - (2.0f / 3) * even1 + (1.0f / 6) * even2;
        g[1] = (1.0f / 6 * ROOT) * odd2 - (2.0f / 3 * INVERSE_ROOT) * odd1;
        g[2] = u[5] - (1.0f / 3) * even1 + (1.0f / 3) * even2;
    }
};

struct F3 {
    static constexpr int OUT = 3, IN = 5;

    static inline void input(const Vector* d, Vector* r) {
        const Vector even1 = d[3] - 2.25f * d[1], odd1 = d[2] - 2.25f * d[0];
        const Vector even2 = d[3] - 0.25f * d[1], odd2 = d[2] - 0.25f * d[0];
        r[0] = even1 + 0.5f * odd1;
        r[1] = even1 - 0.5f * odd1;
        r[2] = even2 + 1.5f * odd2;
        r[3] = even2 - 1.5f * odd2;
        r[4] = d[4] - 2.5f * d[2] + 0.5625f * d[0];
    }
    static inline void input_adjoint(const Vector* r, Vector* d) {
        const Vector even1 = r[0] + r[1], odd1 = r[0] - r[1], even2 = r[2] + r[3], odd2 = r[2] - r[3];
        d[0] = 0.5625f * r[4] - 1.125f * odd1 - 0.375f * odd2;
        d[1] = -2.25f * even1 - 0.25f * even2;
        d[2] = 0.5f * odd1 + 1.5f * odd2 - 2.5f * r[4];
        d[3] = even1 + even2;
        d[4] = r[4];
    }
    static inline void output(const Vector* m, Vector* y) {
        const Vector even1 = m[0] + m[1], odd1 = m[0] - m[1], even2 = m[2] + m[3], odd2 = m[2] - m[3];
        y[0] = even1 + even2;
        y[1] = 0.5f * odd1 + 1.5f * odd2;
        y[2] = 0.25f * even1 + 2.25f * even2 + m[4];
    }
    static inline void output_adjoint(const Vector* y, Vector* m) {
        const Vector even1 = y[0] + 0.25f * y[2], even2 = y[0] + 2.25f * y[2];
        m[0] = even1 + 0.5f * y[1];
        m[1] = even1 - 0.5f * y[1];
        m[2] = even2 + 1.5f * y[1];
        m[3] = even2 - 1.5f * y[1];
        m[4] = y[2];
    }
    static inline void filter(const Vector* g, Vector* u) {
        const Vector even1 = 0.5f * g[0] + 0.125f * g[2], even2 = (1.0f / 6) * g[0] + 0.375f * g[2];
        const Vector odd = 0.25f * g[1];
        u[0] = -even1 - odd;
        u[1] = even1 - odd;
        u[2] = odd + even2;
        u[3] = odd - even2;
        u[4] = g[2];
    }
    static inline void filter_adjoint(const Vector* u, Vector* g) {
        const Vector even1 = u[1] - u[0], odd1 = u[0] + u[1], even2 = u[2] - u[3], odd2 = u[2] + u[3];
        g[0] = 0.5f * even1 + (1.0f / 6) * even2;
        g[1] = 0.25f * (odd2 - odd1);
        g[2] = 0.125f * even1 + 0.375f * even2 + u[4];
    }
};

struct F2 {
    static constexpr int OUT = 2, IN = 4;

    static inline void input(const Vector* d, Vector* r) {
        r[0] = d[0] - d[2];
        r[1] = d[1] + d[2];
        r[2] = d[2] - d[1];
        r[3] = d[3] - d[1];
    }
    static inline void input_adjoint(const Vector* r, Vector* d) {
        d[0] = r[0];
        d[1] = r[1] - r[2] - r[3];
        d[2] = r[1] + r[2] - r[0];
        d[3] = r[3];
    }
    static inline void output(const Vector* m, Vector* y) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] + m[3];
    }
    static inline void output_adjoint(const Vector* y, Vector* m) {
        m[0] = y[0];
        m[1] = y[0] + y[1];
        m[2] = y[0] - y[1];
        m[3] = y[1];
    }
    static inline void filter(const Vector* g, Vector* u) {
        const Vector even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
        u[0] = g[0];
        u[1] = even + odd;
        u[2] = even - odd;
        u[3] = g[2];
    }
    static inline void filter_adjoint(const Vector* u, Vector* g) {
        const Vector even = 0.5f * (u[1] + u[2]);
        g[0] = u[0] + even;
        g[1] = 0.5f * (u[1] - u[2]);
        g[2] = even + u[3];
    }
};

// A function of n to m values along both axes of a square: [n][n] to [m][m].
template <int n, int m, typename Function>
inline __attribute__((always_inline)) void along_both(const Vector (&from)[n][n], Vector (&to)[m][m],
                                                      const Function& function) {
    Vector between[m][n];
#pragma GCC unroll 6
    for (int j = 0; j < n; j++) {
        Vector column[n], result[m];
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) column[i] = from[i][j];
        function(column, result);
#pragma GCC unroll 6
        for (int i = 0; i < m; i++) between[i][j] = result[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < m; i++) function(between[i], to[i]);
}

}  // namespace
