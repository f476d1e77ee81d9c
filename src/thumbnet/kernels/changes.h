// Images of bytes as training changes them: turned, in other colours, sharpened, each by the numbers that were drawn for
// it. The arithmetic is float32; a result is rounded to the nearest byte, and from the middle to the even one.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "parts.h"
#include "vectors.h"

namespace {

constexpr float TO_WHOLE = 12582912.0f;  // 1.5 * 2^23: a sum with it has no fraction, and its bits end with the byte

struct ImageBatch {
    const uint8_t* images;  // [n, channels, h, w]
    int n, channels, h, w;

    size_t plane() const { return static_cast<size_t>(h) * w; }
    size_t size() const { return channels * plane(); }
};

// work(index, image, result) for each of the images, `to` is of their shape. `make` gives each part's memory for it.
template <typename Make>
void change_images(const ImageBatch& batch, uint8_t* to, int num_threads, const Make& make) {
    over_images(batch.n, num_threads, [&](int, int first, int last) {
        auto work = make();
        for (int i = first; i < last; i++) work(i, batch.images + i * batch.size(), to + i * batch.size());
    });
}

inline Integers nearest_bytes(Vector values) {
    values = values < 0.0f ? Vector{} : values;
    values = values > 255.0f ? spread(255.0f) : values;
    values += TO_WHOLE;
    return reinterpret_cast<const Integers&>(values) & 0xff;
}

// --- turned: each result between four pixels of the image, which is mirrored at its border ---

typedef float FourFloats __attribute__((vector_size(16), aligned(4), may_alias));
typedef float EightFloats __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t FourIntegers __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint8_t FourBytes __attribute__((vector_size(4), aligned(1), may_alias));

// A word has a pixel's bytes, of up to four channels. Here those of a pixel and of the next one, mixed with the ones below
// them (`down` of these) and then with each other (`right` of the next).
inline uint32_t between(const uint32_t* pixel, size_t stride, float right, float down) {
#ifdef __AVX2__
    const auto widened = [](const uint32_t* two) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(two));
        return reinterpret_cast<EightFloats>(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)));
    };
    const EightFloats upper = widened(pixel), both = upper + (widened(pixel + stride) - upper) * down;
    const FourFloats first = reinterpret_cast<FourFloats>(_mm256_castps256_ps128(reinterpret_cast<__m256>(both)));
    const FourFloats next = reinterpret_cast<FourFloats>(_mm256_extractf128_ps(reinterpret_cast<__m256>(both), 1));
#else
    const auto widened = [](const uint32_t* word) {
        FourBytes bytes;
        std::memcpy(&bytes, word, sizeof bytes);
        return __builtin_convertvector(bytes, FourFloats);
    };
    const FourFloats upper = widened(pixel), upper_next = widened(pixel + 1);
    const FourFloats first = upper + (widened(pixel + stride) - upper) * down;
    const FourFloats next = upper_next + (widened(pixel + stride + 1) - upper_next) * down;
#endif
    const FourFloats rounded = first + (next - first) * right + TO_WHOLE;
    const FourIntegers integers = reinterpret_cast<const FourIntegers&>(rounded);
#ifdef __AVX2__
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_shuffle_epi8(reinterpret_cast<__m128i>(integers), order)));
#else
    uint32_t word = 0;
    for (int k = 0; k < 4; k++) word |= static_cast<uint32_t>(integers[k] & 0xff) << 8 * k;
    return word;
#endif
}

// Places on a line of pixels from 0 to `last` that is mirrored at both, as often as it takes.
inline Vector mirrored(Vector at, float last) {
    const float period = std::max(2 * last, 1.0f);
    at = at < 0.0f ? -at : at;
    at -= __builtin_convertvector(__builtin_convertvector(at / period, Integers), Vector) * period;
    const Vector back = 2 * last - at;
    at = back < at ? back : at;
    return at > 0.0f ? at : Vector{};  // a place that is not known, too
}

class Turner {
   public:
    explicit Turner(const ImageBatch& batch)
        : batch_(batch),
          stride_(batch.w + 1),
          words_(stride_ * (batch.h + 1)),
          row_(batch.w),
          at_(batch.w + LANES),
          right_(batch.w + LANES),
          down_(batch.w + LANES) {}

    // `source`: x = [0] x' + [1] y' + [2] and y = [3] x' + [4] y' + [5] are where the pixel at (x', y') comes from, to
    // the right of the image's centre and below it.
    void turn(const uint8_t* image, const float* source, uint8_t* to) {
        for (int c = 0; c < batch_.channels; c += 4) {
            const int count = std::min(4, batch_.channels - c);
            fill_words(image + c * batch_.plane(), count);
            turn_words(source, to + c * batch_.plane(), count);
        }
    }

   private:
    // One more pixel to the right of each row and below each column, the same as the last: they have no weight.
    void fill_words(const uint8_t* planes, int count) {
        const int width = batch_.w;
        for (int y = 0; y < batch_.h; y++) {
            uint32_t* row = words_.data() + y * stride_;
            std::fill(row, row + stride_, 0u);
            for (int c = 0; c < count; c++) {
                const uint8_t* bytes = planes + c * batch_.plane() + static_cast<size_t>(y) * width;
                for (int x = 0; x < width; x++) row[x] |= static_cast<uint32_t>(bytes[x]) << 8 * c;
            }
            row[width] = row[width - 1];
        }
        std::copy_n(words_.data() + (batch_.h - 1) * stride_, stride_, words_.data() + batch_.h * stride_);
    }

    void turn_words(const float* source, uint8_t* to, int count) {
        const int width = batch_.w;
        for (int y = 0; y < batch_.h; y++) {
            find_places(source, y);
            const uint32_t* words = words_.data();
            uint32_t* row = row_.data();
            for (int x = 0; x < width; x++) row[x] = between(words + at_[x], stride_, right_[x], down_[x]);
            for (int c = 0; c < count; c++) {
                uint8_t* bytes = to + c * batch_.plane() + static_cast<size_t>(y) * width;
                for (int x = 0; x < width; x++) bytes[x] = static_cast<uint8_t>(row[x] >> 8 * c);
            }
        }
    }

    // Where the pixels of a row come from.
    void find_places(const float* source, int y) {
        const float last_x = batch_.w - 1, last_y = batch_.h - 1, from_centre = y - last_y / 2;
        const float first_x = source[1] * from_centre + source[2] + last_x / 2;
        const float first_y = source[4] * from_centre + source[5] + last_y / 2;
        for (int x = 0; x < batch_.w; x += LANES) {
            Vector to_the_right;
            for (int lane = 0; lane < LANES; lane++) to_the_right[lane] = x + lane - last_x / 2;
            const Vector from_x = mirrored(source[0] * to_the_right + first_x, last_x);
            const Vector from_y = mirrored(source[3] * to_the_right + first_y, last_y);
            const Integers left = __builtin_convertvector(from_x, Integers), upper = __builtin_convertvector(from_y, Integers);
            *reinterpret_cast<Integers*>(at_.data() + x) = upper * static_cast<int>(stride_) + left;
            store(right_.data() + x, from_x - __builtin_convertvector(left, Vector));
            store(down_.data() + x, from_y - __builtin_convertvector(upper, Vector));
        }
    }

    ImageBatch batch_;
    size_t stride_;  // of the words
    std::vector<uint32_t> words_, row_;
    std::vector<int> at_;  // of whole vectors, as the following
    std::vector<float> right_, down_;
};

// Images that are not `selected` stay as they are. `sources` is [n, 6].
inline void turn_images(const ImageBatch& batch, const uint8_t* selected, const float* sources, uint8_t* to,
                        int num_threads) {
    change_images(batch, to, num_threads, [&] {
        return [&, turner = Turner(batch)](int i, const uint8_t* image, uint8_t* result) mutable {
            if (selected[i])
                turner.turn(image, sources + static_cast<size_t>(i) * 6, result);
            else
                std::memcpy(result, image, batch.size());
        };
    });
}

// --- in other colours: each channel a sum of all of them, and of the image's mean grey level ---

// `count` pixels from `i` on, at most LANES.
template <int known_channels>
inline void mix_pixels(const ImageBatch& batch, const uint8_t* image, const float* mixing, float offset, size_t i, int count,
                       uint8_t* to) {
    const int channels = known_channels ? known_channels : batch.channels;
    uint8_t some[LANES] = {};
    const auto pixels = [&](int c) {
        const uint8_t* from = image + c * batch.plane() + i;
        if (count < LANES) from = static_cast<const uint8_t*>(std::memcpy(some, from, count));
        return __builtin_convertvector(load_bytes<LANES>(from), Vector);
    };
    Vector known[known_channels ? known_channels : 1];
    for (int c = 0; c < known_channels; c++) known[c] = pixels(c);
    for (int c = 0; c < channels; c++) {
        Vector sum = spread(offset);
        for (int k = 0; k < channels; k++) sum += mixing[static_cast<size_t>(c) * channels + k] * (known_channels ? known[k] : pixels(k));
        uint8_t* result = to + c * batch.plane() + i;
        if (count < LANES) {
            store_bytes<LANES>(some, nearest_bytes(sum));
            std::memcpy(result, some, count);
        } else {
            store_bytes<LANES>(result, nearest_bytes(sum));
        }
    }
}

template <int known_channels>
inline void mix_image(const ImageBatch& batch, const uint8_t* image, const float* mixing, float offset, uint8_t* to) {
    const size_t pixels = batch.plane();
    for (size_t i = 0; i < pixels; i += LANES)
        mix_pixels<known_channels>(batch, image, mixing, offset, i, static_cast<int>(std::min<size_t>(LANES, pixels - i)), to);
}

// `mixing` is [n, channels, channels]; `lifts`, [n], multiply the mean grey level, whose weights of the channels are `greys`.
inline void mix_images(const ImageBatch& batch, const float* mixing, const float* lifts, const float* greys, uint8_t* to,
                       int num_threads) {
    const int channels = batch.channels;
    const auto mix = channels == 3 ? mix_image<3> : channels == 1 ? mix_image<1> : mix_image<0>;
    change_images(batch, to, num_threads, [&] {
        return [&](int i, const uint8_t* image, uint8_t* result) {
            double grey = 0;
            for (int c = 0; c < channels; c++) {
                uint64_t sum = 0;
                for (size_t k = 0; k < batch.plane(); k++) sum += image[c * batch.plane() + k];
                grey += greys[c] * (static_cast<double>(sum) / static_cast<double>(batch.plane()));
            }
            mix(batch, image, mixing + static_cast<size_t>(i) * channels * channels, static_cast<float>(lifts[i] * grey), result);
        };
    });
}

// --- sharpened: each pixel drawn away from the mean of itself and its neighbours; the outermost stay ---

constexpr float CENTRE_WEIGHT = 5;  // of a pixel beside its eight neighbours

class Sharpener {
   public:
    explicit Sharpener(const ImageBatch& batch)
        : h_(batch.h), w_(batch.w), padded_(batch.w + 2 * LANES), rows_(3 * padded_), sums_(padded_), bytes_(padded_) {}

    void sharpen(const uint8_t* plane, float factor, uint8_t* to) {
        const size_t width = w_;
        std::memcpy(to, plane, width);
        std::memcpy(to + (h_ - 1) * width, plane + (h_ - 1) * width, width);
        if (h_ < 3) return;
        for (int y = 0; y < 2; y++) read_row(plane, y);
        for (int y = 1; y < h_ - 1; y++) {
            read_row(plane, y + 1);
            for (int x = 0; x < w_; x += LANES)
                store(sums_.data() + x, load(row(y - 1) + x) + load(row(y) + x) + load(row(y + 1) + x));
            for (int x = 1; x < w_ - 1; x += LANES) {
                const Vector centre = load(row(y) + x);
                const float* sums = sums_.data() + x;
                const Vector smoothed = (load(sums - 1) + load(sums) + load(sums + 1) + centre * (CENTRE_WEIGHT - 1)) /
                                        (8 + CENTRE_WEIGHT);
                store_bytes<LANES>(bytes_.data() + x, nearest_bytes(centre + (centre - smoothed) * (factor - 1)));
            }
            uint8_t* result = to + y * width;
            if (w_ > 2) std::memcpy(result + 1, bytes_.data() + 1, width - 2);
            result[0] = plane[y * width];
            result[width - 1] = plane[(y + 1) * width - 1];
        }
    }

   private:
    float* row(int y) { return rows_.data() + y % 3 * padded_; }

    void read_row(const uint8_t* plane, int y) {
        std::memcpy(bytes_.data(), plane + static_cast<size_t>(y) * w_, w_);
        for (int x = 0; x < w_; x += LANES)
            store(row(y) + x, __builtin_convertvector(load_bytes<LANES>(bytes_.data() + x), Vector));
    }

    int h_, w_;
    size_t padded_;  // a row, and what vectors read beyond it
    std::vector<float> rows_, sums_;
    std::vector<uint8_t> bytes_;
};

inline void sharpen_images(const ImageBatch& batch, const float* factors, uint8_t* to, int num_threads) {
    change_images(batch, to, num_threads, [&] {
        return [&, sharpener = Sharpener(batch)](int i, const uint8_t* image, uint8_t* result) mutable {
            for (int c = 0; c < batch.channels; c++)
                sharpener.sharpen(image + c * batch.plane(), factors[i], result + c * batch.plane());
        };
    });
}

}  // namespace
