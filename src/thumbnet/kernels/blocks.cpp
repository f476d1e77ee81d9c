// Blocks of a network in training, fused: each map is read and written once or twice where a framework passes over it
// ten times, since memory, not arithmetic, is what small processors lack.
//
// Maps are [n, h, w, c] in memory (channels last), kept as float32 or as bfloat16; all arithmetic is float32. Output
// channels are a multiple of 16. An image's maps stay in the processor's cache from its pointwise convolution to its
// statistics. What a batch's parts sum up is added in their order: the results do not depend on the threads.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX512DQ__
constexpr int LANES = 16;
constexpr int ROWS[5] = {0, 8, 8, 8, 6};  // of a tile of 1 to 4 vectors: what fits 32 registers
#else
constexpr int LANES = 8;
constexpr int ROWS[5] = {0, 4, 4, 4, 3};
#endif
constexpr int TAPS = 9;
constexpr int MAX_PARTS = 16;  // that a batch is cut into

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint32_t Words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }

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

// Which channel stands where, in float32 copies of maps kept as Kept.
template <typename Kept>
std::vector<int> order_of(int channels) {
    std::vector<int> order(channels);
    for (int c = 0; c < channels; c++) order[c] = c;
    if (std::is_same_v<Kept, Bfloat16> && channels % LANES == 0)
        for (int c = 0; c + 2 * LANES <= channels; c += 2 * LANES)
            for (int lane = 0; lane < LANES; lane++) {
                order[c + lane] = c + 2 * lane;
                order[c + LANES + lane] = c + 2 * lane + 1;
            }
    return order;
}

// A matrix whose rows or columns, or both, stand in the order of some maps' channels.
std::vector<float> in_order(const float* matrix, const std::vector<int>& rows, const std::vector<int>& columns) {
    std::vector<float> result(rows.size() * columns.size());
    for (size_t i = 0; i < rows.size(); i++)
        for (size_t j = 0; j < columns.size(); j++)
            result[i * columns.size() + j] = matrix[rows[i] * columns.size() + columns[j]];
    return result;
}

// Where maps to be kept are computed in float32: in their own place, or in `room`, from which they are then kept.
inline float* place_of(float* kept, float*) { return kept; }
inline float* place_of(Bfloat16*, float* room) { return room; }
inline void keep(float*, const float*, size_t, int) {}
inline void keep(Bfloat16* kept, const float* room, size_t pixels, int channels) {
    for (size_t at = 0; at < pixels * channels; at += channels)
        over_channels(channels, [&](auto count, int c) {
            store_group<count>(kept + at + c, load_group<count>(room + at + c));
        });
}

// Kept maps as float32: themselves, or in `room`.
inline const float* as_floats(const float* kept, float*, size_t, int) { return kept; }
inline const float* as_floats(const Bfloat16* kept, float* room, size_t pixels, int channels) {
    const size_t size = pixels * channels;
    if (channels % LANES == 0) {
        for (size_t at = 0; at < size; at += channels)
            over_channels(channels, [&](auto count, int c) {
                store_group<count>(room + at + c, load_group<count>(kept + at + c));
            });
        return room;
    }
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(room + i, load(kept + i));
    for (; i < size; i++) {
        const uint32_t bits = static_cast<uint32_t>(kept[i].bits) << 16;
        std::memcpy(room + i, &bits, sizeof bits);
    }
    return room;
}
inline Vector spread(float value) { return value - Vector{}; }

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

// The same for results that are kept as Kept. For bfloat16, which rounds by 4e-3 of a value, within 2e-4: a polynomial
// (Remez's) for the powers between two integers, and an estimate alone for the division.
template <typename Kept>
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

// A matrix product's operands: left[i * row + k * column], right[k * width + j], result[i * width + j].
struct Left {
    const float* values;
    size_t row, column;
};

template <int rows, int vectors>
inline void multiply_tile(Left left, const float* right, float* result, const float* start, size_t width, int depth) {
    Vector sums[rows][vectors];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sums[i][v] = start ? load(start + i * width + v * LANES) : Vector{};
    for (int k = 0; k < depth; k++) {
        Vector factors[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) factors[v] = load(right + k * width + v * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const Vector factor = spread(left.values[i * left.row + k * left.column]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sums[i][v] += factor * factors[v];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) store(result + i * width + v * LANES, sums[i][v]);
}

template <int vectors>
void multiply_columns(Left left, const float* right, float* result, const float* start, size_t width, int rows,
                      int depth) {
    int i = 0;
    const auto at = [&](int row) { return Left{left.values + row * left.row, left.row, left.column}; };
    const auto start_at = [&](int row) { return start ? start + row * width : nullptr; };
    for (; i + ROWS[vectors] <= rows; i += ROWS[vectors])
        multiply_tile<ROWS[vectors], vectors>(at(i), right, result + i * width, start_at(i), width, depth);
    for (; i + 2 <= rows; i += 2)
        multiply_tile<2, vectors>(at(i), right, result + i * width, start_at(i), width, depth);
    for (; i < rows; i++) multiply_tile<1, vectors>(at(i), right, result + i * width, start_at(i), width, depth);
}

// result = start (or 0) + left * right; the width is a multiple of LANES.
void multiply(Left left, const float* right, float* result, const float* start, int rows, int width, int depth) {
    for (int vector = 0, num_vectors = width / LANES; vector < num_vectors;) {
        const int rest = num_vectors - vector;
        const int taken = rest == 5 || rest == 6 ? 3 : rest < 4 ? rest : 4;  // 5 as 3 + 2, 6 as 3 + 3
        const size_t column = static_cast<size_t>(vector) * LANES;
        const float* begin = start ? start + column : nullptr;
        switch (taken) {
            case 1: multiply_columns<1>(left, right + column, result + column, begin, width, rows, depth); break;
            case 2: multiply_columns<2>(left, right + column, result + column, begin, width, rows, depth); break;
            case 3: multiply_columns<3>(left, right + column, result + column, begin, width, rows, depth); break;
            default: multiply_columns<4>(left, right + column, result + column, begin, width, rows, depth);
        }
        vector += taken;
    }
}

// One image's maps [h, w, c], a row of zeros to stand above and below them, and how far apart a filter's taps are.
struct Maps {
    int height, width, channels;
    const float* zeros;
    int dilation;

    size_t pixels() const { return static_cast<size_t>(height) * width; }
    size_t size() const { return pixels() * channels; }
    const float* row(const float* maps, int r) const {
        return r < 0 || r >= height ? zeros : maps + static_cast<size_t>(r) * width * channels;
    }
};

// work(has_left, x, has_right) for each pixel x of a row, and whether it has neighbours at that distance.
template <typename Work>
inline void over_columns(int width, int distance, const Work& work) {
    int x = 0;
    for (; x < std::min(distance, width); x++) work(false, x, x + distance < width);
    for (; x + distance < width; x++) work(true, x, true);
    for (; x < width; x++) work(true, x, false);
}

// result[r, x] = sum over 3x3 of weights[tap] * maps[r + dy, x + dx]; `last_first` takes the taps in
// reverse: the adjoint.
void filter(const Maps& shape, const float* maps, const float* weights, float* result, bool last_first) {
    const int channels = shape.channels, width = shape.width, distance = shape.dilation;
    for (int r = 0; r < shape.height; r++) {
        const float* rows[3] = {shape.row(maps, r - distance), shape.row(maps, r), shape.row(maps, r + distance)};
        for (int c = 0; c < channels; c += LANES) {
            Vector factors[TAPS];
#pragma GCC unroll 9
            for (int tap = 0; tap < TAPS; tap++)
                factors[tap] = load(weights + (last_first ? TAPS - 1 - tap : tap) * channels + c);
            float* out = result + static_cast<size_t>(r) * width * channels + c;
            const auto column = [&](int x, int side) {  // the three taps of one column of the window
                const size_t offset = static_cast<size_t>(x + (side - 1) * distance) * channels + c;
                return factors[side] * load(rows[0] + offset) + factors[3 + side] * load(rows[1] + offset) +
                       factors[6 + side] * load(rows[2] + offset);
            };
            over_columns(width, distance, [&](bool has_left, int x, bool has_right) {
                Vector sum = column(x, 1);
                if (has_left) sum += column(x, 0);
                if (has_right) sum += column(x, 2);
                store(out + static_cast<size_t>(x) * channels, sum);
            });
        }
    }
}

// sums[tap] += over all pixels, gradient[r, x] * maps[r + dy, x + dx]
void filter_gradient(const Maps& shape, const float* maps, const float* gradient, float* sums) {
    const int channels = shape.channels, width = shape.width, distance = shape.dilation;
    for (int c = 0; c < channels; c += LANES) {
        Vector totals[TAPS] = {};
        for (int r = 0; r < shape.height; r++) {
            const float* rows[3] = {shape.row(maps, r - distance), shape.row(maps, r), shape.row(maps, r + distance)};
            const float* from = gradient + static_cast<size_t>(r) * width * channels + c;
            over_columns(width, distance, [&](bool has_left, int x, bool has_right) {
                const Vector slope = load(from + static_cast<size_t>(x) * channels);
                const auto column = [&](int side) {
                    const size_t offset = static_cast<size_t>(x + (side - 1) * distance) * channels + c;
#pragma GCC unroll 3
                    for (int down = 0; down < 3; down++) totals[3 * down + side] += slope * load(rows[down] + offset);
                };
                column(1);
                if (has_left) column(0);
                if (has_right) column(2);
            });
        }
        for (int tap = 0; tap < TAPS; tap++) {
            float* sum = sums + tap * channels + c;
            store(sum, load(sum) + totals[tap]);
        }
    }
}

// The largest of each 2x2 pixels, and which it was (0 to 3); an odd last row or column is left out.
template <typename Kept, typename Result>
void pool(const Maps& shape, const Kept* maps, Result* pooled, uint8_t* largest) {
    const size_t channels = shape.channels, line = shape.width * channels;
    for (int r = 0; r < shape.height / 2; r++)
        for (int x = 0; x < shape.width / 2; x++)
            over_channels(shape.channels, [&](auto count, int c) {
                const Kept* from = maps + 2 * r * line + 2 * x * channels + c;
                const size_t to = (static_cast<size_t>(r) * (shape.width / 2) + x) * channels + c;
                const size_t offsets[4] = {0, channels, line, line + channels};
                Group<count> most = load_group<count>(from);
                Integers which[count] = {};
#pragma GCC unroll 3
                for (int j = 1; j < 4; j++) {
                    const Group<count> other = load_group<count>(from + offsets[j]);
                    for (int k = 0; k < count; k++) {
                        const Integers is_more = other.parts[k] > most.parts[k];
                        most.parts[k] = is_more ? other.parts[k] : most.parts[k];
                        which[k] = is_more ? Integers{} + j : which[k];
                    }
                }
                store_group<count>(pooled + to, most);
                for (int k = 0; k < count; k++)
                    *reinterpret_cast<Bytes*>(largest + to + k * LANES) = __builtin_convertvector(which[k], Bytes);
            });
}

// The adjoint: each gradient goes to the pixel that was the largest. What `pool` leaves out is not written.
template <typename Result>
void unpool(const Maps& shape, const float* gradient, const uint8_t* largest, Result* result) {
    const size_t channels = shape.channels, line = shape.width * channels;
    for (int r = 0; r < shape.height / 2; r++)
        for (int x = 0; x < shape.width / 2; x++)
            over_channels(shape.channels, [&](auto count, int c) {
                const size_t from = (static_cast<size_t>(r) * (shape.width / 2) + x) * channels + c;
                Result* to = result + 2 * r * line + 2 * x * channels + c;
                const size_t offsets[4] = {0, channels, line, line + channels};
                const Group<count> slope = load_group<count>(gradient + from);
                Integers which[count];
                for (int k = 0; k < count; k++)
                    which[k] = __builtin_convertvector(
                        *reinterpret_cast<const Bytes*>(largest + from + k * LANES), Integers);
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++) {
                    Group<count> own;
                    for (int k = 0; k < count; k++) own.parts[k] = which[k] == j ? slope.parts[k] : Vector{};
                    store_group<count>(to + offsets[j], own);
                }
            });
}

// The norm over a batch: what it saves for the way back, per channel, in the order of the maps' float32 copies.
struct Norm {
    int channels;
    float *mean, *inverse, *scale, *shift;  // y = silu(scale * z + shift)

    Norm(int channels, float* saved)
        : channels(channels),
          mean(saved),
          inverse(saved + channels),
          scale(saved + 2 * channels),
          shift(saved + 3 * channels) {}
};

// Adds what was summed up of a group of channels.
template <int count>
inline void add_sums(const Group<count>& first, const Group<count>& second, int channels, double* sums) {
    for (int k = 0; k < count; k++)
        for (int lane = 0; lane < LANES; lane++) {
            sums[k * LANES + lane] += first.parts[k][lane];
            sums[channels + k * LANES + lane] += second.parts[k][lane];
        }
}

// sums[0] += the values, sums[1] += their squares, over `rows` pixels
template <typename Kept>
void add_moments(const Kept* values, size_t rows, int channels, double* sums) {
    over_channels(channels, [&](auto count, int c) {
        Group<count> first = {}, second = {};
        for (size_t row = 0; row < rows; row++) {
            const Group<count> value = load_group<count>(values + row * channels + c);
            for (int k = 0; k < count; k++) {
                first.parts[k] += value.parts[k];
                second.parts[k] += value.parts[k] * value.parts[k];
            }
        }
        add_sums(first, second, channels, sums + c);
    });
}

// From all threads' moments: the batch's statistics, and the running ones moved towards them.
template <typename Kept>
void finish_statistics(const Norm& norm, const std::vector<double>& sums, int num_parts, double count,
                       const float* gamma, const float* beta, float* running_mean, float* running_variance,
                       double momentum, double epsilon) {
    const int channels = norm.channels;
    const std::vector<int> order = order_of<Kept>(channels);
    for (int at = 0; at < channels; at++) {
        double first = 0, second = 0;
        for (int part = 0; part < num_parts; part++) {
            first += sums[(2 * part) * channels + at];
            second += sums[(2 * part + 1) * channels + at];
        }
        const int c = order[at];
        const double mean = first / count;
        const double variance = std::fmax(second / count - mean * mean, 0.0);
        const double inverse = 1 / std::sqrt(variance + epsilon);
        norm.mean[at] = static_cast<float>(mean);
        norm.inverse[at] = static_cast<float>(inverse);
        norm.scale[at] = static_cast<float>(gamma[c] * inverse);
        norm.shift[at] = static_cast<float>(beta[c] - gamma[c] * inverse * mean);
        const double unbiased = variance * count / (count - 1);
        running_mean[c] += static_cast<float>(momentum * (mean - running_mean[c]));
        running_variance[c] += static_cast<float>(momentum * (unbiased - running_variance[c]));
    }
}

// y = silu(scale * z + shift), plus what the shortcut brings
template <typename Kept>
void activate(const Norm& norm, const Kept* z, const Kept* shortcut, Kept* y, size_t rows) {
    const int channels = norm.channels;
    over_channels(channels, [&](auto count, int c) {
        const Group<count> scale = load_group<count>(norm.scale + c), shift = load_group<count>(norm.shift + c);
        for (size_t at = c; at < rows * channels; at += channels) {
            Group<count> result = load_group<count>(z + at);
            for (int k = 0; k < count; k++) {
                const Vector h = result.parts[k] * scale.parts[k] + shift.parts[k];
                result.parts[k] = h * sigmoid_for<Kept>(h);
            }
            if (shortcut) {
                const Group<count> brought = load_group<count>(shortcut + at);
                for (int k = 0; k < count; k++) result.parts[k] += brought.parts[k];
            }
            store_group<count>(y + at, result);
        }
    });
}

template <typename Kept>
inline Vector silu_slope(Vector h) {
    const Vector share = sigmoid_for<Kept>(h);
    return share * (1.0f + h * (1.0f - share));
}

// sums[0] += the gradients before the activation, sums[1] += their products with z, less its mean
template <typename Kept>
void add_slopes(const Norm& norm, const Kept* gradient, const Kept* z, size_t rows, double* sums) {
    const int channels = norm.channels;
    over_channels(channels, [&](auto count, int c) {
        const Group<count> scale = load_group<count>(norm.scale + c), shift = load_group<count>(norm.shift + c);
        const Group<count> mean = load_group<count>(norm.mean + c);
        Group<count> first = {}, second = {};
        for (size_t at = c; at < rows * channels; at += channels) {
            const Group<count> value = load_group<count>(z + at), arriving = load_group<count>(gradient + at);
            for (int k = 0; k < count; k++) {
                const Vector h = value.parts[k] * scale.parts[k] + shift.parts[k];
                const Vector slope = arriving.parts[k] * silu_slope<Kept>(h);
                first.parts[k] += slope;
                second.parts[k] += slope * (value.parts[k] - mean.parts[k]);
            }
        }
        add_sums(first, second, channels, sums + c);
    });
}

// The gradients of gamma and beta, and how dz follows: dz = scale * slope + by_value * z + constant
template <typename Kept>
struct NormGradient {
    std::vector<float> by_value, constant;

    NormGradient(const Norm& norm, const std::vector<double>& sums, int num_parts, double count, float* gamma_gradient,
                 float* beta_gradient)
        : by_value(norm.channels), constant(norm.channels) {
        const int channels = norm.channels;
        const std::vector<int> order = order_of<Kept>(channels);
        for (int at = 0; at < channels; at++) {
            double beta_sum = 0, gamma_sum = 0;
            for (int part = 0; part < num_parts; part++) {
                beta_sum += sums[(2 * part) * channels + at];
                gamma_sum += sums[(2 * part + 1) * channels + at];
            }
            gamma_sum *= norm.inverse[at];
            gamma_gradient[order[at]] = static_cast<float>(gamma_sum);
            beta_gradient[order[at]] = static_cast<float>(beta_sum);
            const double factor = -norm.scale[at] * norm.inverse[at] * gamma_sum / count;
            by_value[at] = static_cast<float>(factor);
            constant[at] = static_cast<float>(-norm.scale[at] * beta_sum / count - factor * norm.mean[at]);
        }
    }

    template <typename Result>
    void apply(const Norm& norm, const Kept* gradient, const Kept* z, size_t rows, Result* dz) const {
        const int channels = norm.channels;
        over_channels(channels, [&](auto count, int c) {
            const Group<count> scale = load_group<count>(norm.scale + c), shift = load_group<count>(norm.shift + c);
            const Group<count> factor = load_group<count>(by_value.data() + c);
            const Group<count> rest = load_group<count>(constant.data() + c);
            for (size_t at = c; at < rows * channels; at += channels) {
                const Group<count> value = load_group<count>(z + at);
                Group<count> result = load_group<count>(gradient + at);
                for (int k = 0; k < count; k++) {
                    const Vector h = value.parts[k] * scale.parts[k] + shift.parts[k];
                    const Vector slope = result.parts[k] * silu_slope<Kept>(h);
                    result.parts[k] = scale.parts[k] * slope + (factor.parts[k] * value.parts[k] + rest.parts[k]);
                }
                store_group<count>(dz + at, result);
            }
        });
    }
};

// Room for an image's maps, on the boundary of a cache line: vectors across two lines take twice as long.
class Room {
   public:
    explicit Room(size_t size) : values_(static_cast<float*>(::operator new[](size * sizeof(float), LINE))) {}
    ~Room() { ::operator delete[](values_, LINE); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    float* data() { return values_; }

   private:
    static constexpr std::align_val_t LINE{64};
    float* values_;
};

// Work on images in parallel, part by part, whichever thread is free: cores are not equally fast where neighbours share
// them. `work(part, first, last)`.
inline int parts_of(int num_images) { return std::min(num_images, MAX_PARTS); }

template <typename Work>
void over_images(int num_images, int num_threads, const Work& work) {
    const int num_parts = parts_of(num_images);
#pragma omp parallel for schedule(dynamic, 1) num_threads(num_threads)
    for (int part = 0; part < num_parts; part++)
        work(part, static_cast<int>(static_cast<int64_t>(num_images) * part / num_parts),
             static_cast<int>(static_cast<int64_t>(num_images) * (part + 1) / num_parts));
}

template <typename Kept>
void activate_all(const Norm& norm, const Kept* z, const Kept* shortcut, Kept* y, int n, size_t rows, int num_threads) {
    over_images(n, num_threads, [&](int, int first, int last) {
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * norm.channels;
            activate(norm, z + at, shortcut ? shortcut + at : nullptr, y + at, rows);
        }
    });
}

template <typename Kept>
NormGradient<Kept> gradient_of_norm(const Norm& norm, const Kept* gradient, const Kept* z, float* gamma_gradient,
                                    float* beta_gradient, int n, size_t rows, int num_threads) {
    std::vector<double> sums(2 * norm.channels * parts_of(n));
    over_images(n, num_threads, [&](int part, int first, int last) {
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * norm.channels;
            add_slopes(norm, gradient + at, z + at, rows, sums.data() + 2 * part * norm.channels);
        }
    });
    return NormGradient<Kept>(norm, sums, parts_of(n), static_cast<double>(n) * rows, gamma_gradient, beta_gradient);
}

// Pooling (with `largest`, of maps h x w), norm, SiLU and shortcut of t. Without pooling z is t, and not written.
template <typename Kept>
void norm_forward(const Kept* t, const Kept* shortcut, const float* gamma, const float* beta, float* running_mean,
                  float* running_variance, double momentum, double epsilon, Kept* z, uint8_t* largest, Kept* y,
                  float* saved, int n, int h, int w, int channels, int num_threads) {
    const Norm norm(channels, saved);
    const Maps before{h, w, channels, nullptr, 1};
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : before.pixels();
    const Kept* values = largest ? z : t;
    std::vector<double> sums(2 * channels * parts_of(n));
    over_images(n, num_threads, [&](int part, int first, int last) {
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * channels;
            if (largest) pool(before, t + i * before.size(), z + at, largest + at);
            add_moments(values + at, rows, channels, sums.data() + 2 * part * channels);
        }
    });
    finish_statistics<Kept>(norm, sums, parts_of(n), static_cast<double>(n) * rows, gamma, beta, running_mean,
                            running_variance, momentum, epsilon);
    activate_all(norm, values, shortcut, y, n, rows, num_threads);
}

template <typename Kept>
void norm_backward(const Kept* gradient, const Kept* z, const uint8_t* largest, float* saved, Kept* t_gradient,
                   float* gamma_gradient, float* beta_gradient, int n, int h, int w, int channels, int num_threads) {
    const Norm norm(channels, saved);
    const Maps before{h, w, channels, nullptr, 1};
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : before.pixels();
    const NormGradient<Kept> slopes =
        gradient_of_norm(norm, gradient, z, gamma_gradient, beta_gradient, n, rows, num_threads);
    over_images(n, num_threads, [&](int, int first, int last) {
        Room pooled(largest ? rows * channels : 0);
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * channels;
            Kept* to = t_gradient + i * before.size();
            if (!largest) {
                slopes.apply(norm, gradient + at, z + at, rows, to);
                continue;
            }
            slopes.apply(norm, gradient + at, z + at, rows, pooled.data());
            if (h % 2 || w % 2) std::memset(static_cast<void*>(to), 0, before.size() * sizeof(Kept));
            unpool(before, pooled.data(), largest + at, to);
        }
    });
}

// result = maps, plus what the shortcut brings
template <typename Kept>
void add_and_store(const float* maps, const Kept* shortcut, Kept* result, size_t pixels, int channels) {
    for (size_t at = 0; at < pixels * channels; at += channels)
        over_channels(channels, [&](auto count, int c) {
            Group<count> sum = load_group<count>(maps + at + c);
            if (shortcut) {
                const Group<count> brought = load_group<count>(shortcut + at + c);
                for (int k = 0; k < count; k++) sum.parts[k] += brought.parts[k];
            }
            store_group<count>(result + at + c, sum);
        });
}

// A blueprint-separable block: pointwise [in, out], depthwise [9, out], pooling (with `largest`), norm, SiLU, shortcut.
// What is between the convolutions is kept as `mixed`: to compute it again on the way back takes longer.
template <typename Kept>
void separable_forward(const Kept* x, const float* pointwise, const float* depthwise, const float* gamma,
                       const float* beta, float* running_mean, float* running_variance, double momentum, double epsilon,
                       Kept* mixed, Kept* z, uint8_t* largest, Kept* y, float* saved, int n, int h, int w, int in,
                       int out, int dilation, int has_shortcut, int num_threads) {
    const Norm norm(out, saved);
    const std::vector<float> zeros(static_cast<size_t>(w) * out);
    const Maps maps{h, w, out, zeros.data(), dilation};
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : maps.pixels();
    const std::vector<int> in_channels = order_of<Kept>(in), out_channels = order_of<Kept>(out);
    const std::vector<float> factors = in_order(pointwise, in_channels, out_channels);
    const std::vector<float> taps = in_order(depthwise, order_of<float>(TAPS), out_channels);
    std::vector<double> sums(2 * out * parts_of(n));
    over_images(n, num_threads, [&](int part, int first, int last) {
        Room inputs(maps.pixels() * in), between(maps.size()), filtered(maps.size());
        for (int i = first; i < last; i++) {
            Kept *to = z + i * rows * out, *to_mixed = mixed + i * maps.size();
            const float* from = as_floats(x + i * maps.pixels() * in, inputs.data(), maps.pixels(), in);
            float* products = place_of(to_mixed, between.data());
            multiply(Left{from, static_cast<size_t>(in), 1}, factors.data(), products, nullptr,
                     static_cast<int>(maps.pixels()), out, in);
            keep(to_mixed, products, maps.pixels(), out);
            float* result = largest ? filtered.data() : place_of(to, filtered.data());
            filter(maps, products, taps.data(), result, false);
            if (largest)
                pool(maps, result, to, largest + i * rows * out);
            else
                keep(to, result, rows, out);
            add_moments(to, rows, out, sums.data() + 2 * part * out);
        }
    });
    finish_statistics<Kept>(norm, sums, parts_of(n), static_cast<double>(n) * rows, gamma, beta, running_mean,
                            running_variance, momentum, epsilon);
    activate_all(norm, z, has_shortcut ? x : nullptr, y, n, rows, num_threads);
}

// Here `pointwise` is [out, in]. `x_gradient` is null where nobody asks for it; else the input channels, too, are a
// multiple of 16.
template <typename Kept>
void separable_backward(const Kept* gradient, const Kept* x, const Kept* mixed, const Kept* z,
                        const uint8_t* largest, const float* pointwise, const float* depthwise, float* saved,
                        Kept* x_gradient, float* pointwise_gradient, float* depthwise_gradients, float* gamma_gradient,
                        float* beta_gradient, int n, int h, int w, int in, int out, int dilation, int has_shortcut,
                        int num_threads) {
    const Norm norm(out, saved);
    const std::vector<float> zeros(static_cast<size_t>(w) * out);
    const Maps maps{h, w, out, zeros.data(), dilation};
    const int pixels = static_cast<int>(maps.pixels());
    const size_t rows = largest ? static_cast<size_t>(h / 2) * (w / 2) : maps.pixels();
    const std::vector<int> in_channels = order_of<Kept>(in), out_channels = order_of<Kept>(out);
    const std::vector<float> factors = in_order(pointwise, out_channels, in_channels);
    const std::vector<float> taps = in_order(depthwise, order_of<float>(TAPS), out_channels);
    const NormGradient<Kept> slopes =
        gradient_of_norm(norm, gradient, z, gamma_gradient, beta_gradient, n, rows, num_threads);
    const size_t num_inputs = maps.pixels() * in, num_pointwise = static_cast<size_t>(in) * out;
    const size_t num_weights = num_pointwise + TAPS * out;
    Room parts(num_weights * parts_of(n));
    std::memset(parts.data(), 0, num_weights * parts_of(n) * sizeof(float));
    over_images(n, num_threads, [&](int part, int first, int last) {
        float* own = parts.data() + num_weights * part;
        Room inputs(num_inputs), between(maps.size()), filtered(maps.size());
        Room pooled(largest ? rows * out : 0);
        if (h % 2 || w % 2)  // pooling leaves out a row or column
            std::memset(filtered.data(), 0, maps.size() * sizeof(float));
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * out;
            slopes.apply(norm, gradient + at, z + at, rows, largest ? pooled.data() : filtered.data());
            if (largest) unpool(maps, pooled.data(), largest + at, filtered.data());
            const float* products = as_floats(mixed + i * maps.size(), between.data(), maps.pixels(), out);
            filter_gradient(maps, products, filtered.data(), own + num_pointwise);
            filter(maps, filtered.data(), taps.data(), between.data(), true);
            const float* from = as_floats(x + i * num_inputs, inputs.data(), maps.pixels(), in);
            multiply(Left{from, 1, static_cast<size_t>(in)}, between.data(), own, own, in, out, pixels);
            if (!x_gradient) continue;
            multiply(Left{between.data(), static_cast<size_t>(out), 1}, factors.data(), inputs.data(), nullptr, pixels,
                     in, out);
            add_and_store(inputs.data(), has_shortcut ? gradient + at : nullptr, x_gradient + i * num_inputs,
                          maps.pixels(), in);
        }
    });
    for (int part = 1; part < parts_of(n); part++)
        for (size_t j = 0; j < num_weights; j++) parts.data()[j] += parts.data()[num_weights * part + j];
    for (int k = 0; k < in + TAPS; k++) {
        float* to = k < in ? pointwise_gradient + in_channels[k] * out : depthwise_gradients + (k - in) * out;
        for (int j = 0; j < out; j++) to[out_channels[j]] = parts.data()[k * out + j];
    }
}

// One map's pointer in either format.
struct Any {
    void* values;
    template <typename Kept>
    operator Kept*() const {
        return static_cast<std::remove_const_t<Kept>*>(values);
    }
};

}  // namespace

extern "C" {

#define EITHER(function, ...) (is_bfloat16 ? function<Bfloat16>(__VA_ARGS__) : function<float>(__VA_ARGS__))

void thumbnet_norm_forward(void* t, void* shortcut, const float* gamma, const float* beta, float* running_mean,
                           float* running_variance, double momentum, double epsilon, void* z, uint8_t* largest, void* y,
                           float* saved, int is_bfloat16, int n, int h, int w, int channels, int num_threads) {
    EITHER(norm_forward, Any{t}, Any{shortcut}, gamma, beta, running_mean, running_variance, momentum, epsilon, Any{z},
           largest, Any{y}, saved, n, h, w, channels, num_threads);
}

void thumbnet_norm_backward(void* gradient, void* z, const uint8_t* largest, float* saved, void* t_gradient,
                            float* gamma_gradient, float* beta_gradient, int is_bfloat16, int n, int h, int w,
                            int channels, int num_threads) {
    EITHER(norm_backward, Any{gradient}, Any{z}, largest, saved, Any{t_gradient}, gamma_gradient, beta_gradient, n, h,
           w, channels, num_threads);
}

void thumbnet_separable_forward(void* x, const float* pointwise, const float* depthwise, const float* gamma,
                                const float* beta, float* running_mean, float* running_variance, double momentum,
                                double epsilon, void* mixed, void* z, uint8_t* largest, void* y, float* saved,
                                int is_bfloat16, int n, int h, int w, int in, int out, int dilation, int has_shortcut,
                                int num_threads) {
    EITHER(separable_forward, Any{x}, pointwise, depthwise, gamma, beta, running_mean, running_variance, momentum,
           epsilon, Any{mixed}, Any{z}, largest, Any{y}, saved, n, h, w, in, out, dilation, has_shortcut, num_threads);
}

void thumbnet_separable_backward(void* gradient, void* x, void* mixed, void* z, const uint8_t* largest,
                                 const float* pointwise, const float* depthwise, float* saved, void* x_gradient,
                                 float* pointwise_gradient, float* depthwise_gradients, float* gamma_gradient,
                                 float* beta_gradient, int is_bfloat16, int n, int h, int w, int in, int out,
                                 int dilation, int has_shortcut, int num_threads) {
    EITHER(separable_backward, Any{gradient}, Any{x}, Any{mixed}, Any{z}, largest, pointwise, depthwise, saved,
           Any{x_gradient}, pointwise_gradient, depthwise_gradients, gamma_gradient, beta_gradient, n, h, w, in, out,
           dilation, has_shortcut, num_threads);
}

}  // extern "C"
