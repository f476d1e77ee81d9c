// A plain block whose convolution has stride 2 and padding 1, and before it, where it is a network's first, the whitening
// of 2x2 patches and a ReLU: an image at a time, so that the whitened map, the largest of all, is never stored.
//
// A map with its border of zeros is kept as four phases: even and odd rows, even and odd columns. Each tap of the filter
// then reads one phase, shifted; and as all phases have rows of out_w + 1 pixels, a shift is a constant distance in
// memory. Results have rows of that length, too: their last pixel is of no use, and its gradient is zero.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "norm.h"
#include "norm_passes.h"
#include "panels.h"
#include "parts.h"
#include "storage.h"
#include "vectors.h"
#include "winograd.h"

namespace {

inline int whole_vectors(int channels) { return (channels + LANES - 1) / LANES * LANES; }

template <typename Stored>
inline void copy_channels(const Stored* from, float* to, int channels) {  // and zeros up to whole vectors
    int c = 0;
    for (; c + LANES <= channels; c += LANES) store(to + c, load(from + c));
    if (c < channels) store(to + c, load_short(from + c, channels - c));
}
template <typename Stored>
inline void copy_channels_back(const float* from, Stored* to, int channels) {
    int c = 0;
    for (; c + LANES <= channels; c += LANES) store(to + c, load(from + c));
    if (c < channels) store_short(to + c, load(from + c), channels - c);
}

// The whitening in front: of images [n, h, w, channels] with `padding` zeros around, to `out` channels.
struct Patches {
    int h, w, channels, padding, out;
    const float* weights;  // [out][channels][2][2], contiguous

    int out_h() const { return h + 2 * padding - 1; }
    int out_w() const { return w + 2 * padding - 1; }
    int padded_w() const { return w + 2 * padding; }
};

// The map in front of a strided convolution, [h, w, in], to [out_h, out_w, out].
struct StridedShape {
    int n, h, w, in, out;

    int out_h() const { return (h + 1) / 2; }
    int out_w() const { return (w + 1) / 2; }
    int row() const { return out_w() + 1; }                           // pixels of a row of a phase
    int phase_pixels() const { return (out_h() + 1) * row() + 1; }    // the last shift reads one beyond the rows
    int result_pixels() const { return out_h() * row(); }
    int in_width() const { return whole_vectors(in); }
    int out_width() const { return whole_vectors(out); }
    size_t phases_size() const { return static_cast<size_t>(4) * phase_pixels() * in_width(); }
    size_t pixel(int y, int x) const {  // of the map: where it stands in the phases
        const int phase = (y + 1) % 2 * 2 + (x + 1) % 2;
        return (static_cast<size_t>(phase) * phase_pixels() + (y + 1) / 2 * row() + (x + 1) / 2) * in_width();
    }
    size_t tap(int tap) const {  // where the pixels under a tap of the first result stand
        const int y = tap / TAPS_A_SIDE, x = tap % TAPS_A_SIDE;
        return (static_cast<size_t>(y % 2 * 2 + x % 2) * phase_pixels() + y / 2 * row() + x / 2) * in_width();
    }
};

// Fills an image's phases from its stored map.
template <typename Stored>
void fill_from_map(const StridedShape& shape, const Stored* map, float* phases) {
    for (int y = 0; y < shape.h; y++)
        for (int x = 0; x < shape.w; x++)
            copy_channels(map + (static_cast<size_t>(y) * shape.w + x) * shape.in, phases + shape.pixel(y, x), shape.in);
}

// [depth][width] of the whitening's weights: rows in the order of the patch's two lines in memory
inline std::vector<float> whitening_by_depth(const Patches& patches, int width) {
    std::vector<float> result(static_cast<size_t>(4) * patches.channels * width);
    for (int o = 0; o < patches.out; o++)
        for (int c = 0; c < patches.channels; c++)
            for (int tap = 0; tap < 4; tap++)
                result[(static_cast<size_t>(tap) * patches.channels + c) * width + o] =
                    with_usual_nan(patches.weights[(o * patches.channels + c) * 4 + tap]);
    return result;
}

// Fills an image's phases with the ReLU of its whitened patches. `padded` has room for the image and its padding.
inline void fill_from_patches(const StridedShape& shape, const Patches& patches, const std::vector<float>& by_depth,
                              const float* image, float* padded, float* phases) {
    const size_t line = static_cast<size_t>(patches.w) * patches.channels;
    const size_t padded_line = static_cast<size_t>(patches.padded_w()) * patches.channels;
    if (patches.padding) {
        for (int y = 0; y < patches.h; y++)
            std::memcpy(padded + (y + patches.padding) * padded_line + patches.padding * patches.channels,
                        image + y * line, line * sizeof(float));
        image = padded;
    }
    const int width = shape.in_width(), depth = 2 * patches.channels;
    const size_t lines[2] = {0, padded_line};
    for (int y = 0; y < shape.h; y++)
        for (int first = 0; first < std::min(2, shape.w); first++) {  // every other pixel of a row is in one phase
            const int pixels = (shape.w - first + 1) / 2;
            float* to = phases + shape.pixel(y, first);
            for (int c = 0; c < width; c += 2 * LANES) {
                const Product p{image + y * padded_line + first * patches.channels,
                                static_cast<size_t>(2 * patches.channels), 1, by_depth.data() + c,
                                static_cast<size_t>(width), to + c, static_cast<size_t>(width), depth, lines, 2};
                c + LANES < width ? product<2, false>(p, pixels) : product<1, false>(p, pixels);
            }
            for (size_t at = 0; at < static_cast<size_t>(pixels) * width; at += LANES) {
                const Vector values = load(to + at);
                store(to + at, values < 0 ? Vector{} : values);  // a NaN stays one
            }
        }
}

// The filters as [tap][in][out's vectors], or [tap][out][in's vectors].
inline std::vector<float> strided_filters(const StridedShape& shape, const float* weights, const Strides& strides,
                                          bool by_in) {
    const int rows = by_in ? shape.in : shape.out, columns = by_in ? shape.out : shape.in, width = whole_vectors(columns);
    const int64_t row_stride = by_in ? strides.in : strides.out, column_stride = by_in ? strides.out : strides.in;
    std::vector<float> result(static_cast<size_t>(NUM_TAPS) * rows * width);
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                result[(static_cast<size_t>(tap) * rows + i) * width + j] =
                    with_usual_nan(weights[i * row_stride + j * column_stride + tap * strides.tap]);
    return result;
}

// One image's results [out_h][row][out's vectors] from its phases.
inline void strided_results(const StridedShape& shape, const float* phases, const float* filters, float* results) {
    const size_t in_width = shape.in_width(), width = shape.out_width();
    size_t taps[NUM_TAPS];
    for (int tap = 0; tap < NUM_TAPS; tap++) taps[tap] = shape.tap(tap);
    for (size_t c = 0; c < width; c += 2 * LANES) {
        const Product p{phases, in_width, 1, filters + c, width, results + c, width, shape.in, taps, NUM_TAPS};
        c + LANES < width ? product<2, false>(p, shape.result_pixels()) : product<1, false>(p, shape.result_pixels());
    }
}

// sums[tap][in][out's vectors] += one image's share of the weight gradient, from its phases and slopes
inline void add_strided_gradient(const StridedShape& shape, const float* phases, const float* slopes, float* sums) {
    const size_t in_width = shape.in_width(), width = shape.out_width();
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (size_t c = 0; c < width; c += 2 * LANES) {
            const Product p{phases + shape.tap(tap), 1, in_width, slopes + c, width,
                            sums + static_cast<size_t>(tap) * shape.in * width + c, width, shape.result_pixels()};
            c + LANES < width ? product<2, true>(p, shape.in) : product<1, true>(p, shape.in);
        }
}

// The gradient of an image's phases, by filters [tap][out][in's vectors]
inline void strided_adjoint(const StridedShape& shape, const float* slopes, const float* filters, float* phases) {
    const size_t in_width = shape.in_width(), width = shape.out_width();
    std::memset(phases, 0, shape.phases_size() * sizeof(float));
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (size_t c = 0; c < in_width; c += 2 * LANES) {
            const Product p{slopes, width, 1, filters + static_cast<size_t>(tap) * shape.out * in_width + c, in_width,
                            phases + shape.tap(tap) + c, in_width, shape.out};
            c + LANES < in_width ? product<2, true>(p, shape.result_pixels()) : product<1, true>(p, shape.result_pixels());
        }
}

// Memory for one part's images, and how their phases are filled: from patches of `source`, or from it as a stored map.
template <typename Stored>
class PhaseFiller {
   public:
    PhaseFiller(const StridedShape& shape, const Patches& patches, const void* source)
        : shape_(shape),
          patches_(patches),
          source_(source),
          by_depth_(patches.weights ? whitening_by_depth(patches, shape.in_width()) : std::vector<float>()),
          padded_size_(patches.weights && patches.padding
                           ? static_cast<size_t>(patches.h + 2 * patches.padding) * patches.padded_w() * patches.channels
                           : 0) {}

    size_t scratch_size() const { return padded_size_; }
    void fill(int image, float* padded, float* phases) const {
        if (patches_.weights)
            fill_from_patches(shape_, patches_, by_depth_,
                              static_cast<const float*>(source_) +
                                  static_cast<size_t>(image) * patches_.h * patches_.w * patches_.channels,
                              padded, phases);
        else
            fill_from_map(shape_, static_cast<const Stored*>(source_) + static_cast<size_t>(image) * shape_.h * shape_.w * shape_.in, phases);
    }

   private:
    StridedShape shape_;
    Patches patches_;
    const void* source_;
    std::vector<float> by_depth_;
    size_t padded_size_;
};

inline StridedShape strided_shape(const Shape& shape, const Patches& patches) {
    if (patches.weights) return {shape.n, patches.out_h(), patches.out_w(), patches.out, shape.out};
    return {shape.n, shape.h, shape.w, shape.in, shape.out};
}

template <typename Stored>
void strided_forward(const void* source, const Patches& patches, const float* weights, const float* gamma,
                     const float* beta, float* running_mean, float* running_variance, double momentum, double epsilon,
                     Stored* z, Stored* y, float* saved, const StridedShape& shape, const Strides& strides,
                     int num_threads) {
    const Norm norm(shape.out, saved);
    const size_t rows = static_cast<size_t>(shape.out_h()) * shape.out_w(), width = shape.out_width();
    const std::vector<float> filters = strided_filters(shape, weights, strides, true);
    const PhaseFiller<Stored> filler(shape, patches, source);
    std::vector<double> sums(2 * static_cast<size_t>(shape.out) * parts_of(shape.n));
    over_images(shape.n, num_threads, [&](int part, int first, int last) {
        AlignedBuffer padded(filler.scratch_size()), phases(shape.phases_size()), results(shape.result_pixels() * width);
        std::memset(padded.data(), 0, filler.scratch_size() * sizeof(float));
        std::memset(phases.data(), 0, shape.phases_size() * sizeof(float));
        for (int i = first; i < last; i++) {
            filler.fill(i, padded.data(), phases.data());
            strided_results(shape, phases.data(), filters.data(), results.data());
            Stored* to = z + i * rows * shape.out;
            for (int row = 0; row < shape.out_h(); row++)
                for (int x = 0; x < shape.out_w(); x++)
                    copy_channels_back(results.data() + (static_cast<size_t>(row) * shape.row() + x) * width,
                                       to + (static_cast<size_t>(row) * shape.out_w() + x) * shape.out, shape.out);
            add_moments(to, rows, shape.out, sums.data() + 2 * static_cast<size_t>(part) * shape.out);
        }
    });
    finish_statistics<Stored>(norm, sums, parts_of(shape.n), static_cast<double>(shape.n) * rows, gamma, beta,
                              running_mean, running_variance, momentum, epsilon);
    activate_all<Stored>(norm, z, nullptr, y, shape.n, rows, num_threads);
}

// `x_gradient`, of stored maps only, may be null.
template <typename Stored>
void strided_backward(const Stored* grad_out, const void* source, const Patches& patches, const Stored* z,
                      const float* weights, float* saved, Stored* x_gradient, float* weight_gradient,
                      float* gamma_gradient, float* beta_gradient, const StridedShape& shape, const Strides& strides,
                      int num_threads) {
    const Norm norm(shape.out, saved);
    const size_t rows = static_cast<size_t>(shape.out_h()) * shape.out_w(), width = shape.out_width();
    const std::vector<float> filters = x_gradient ? strided_filters(shape, weights, strides, false) : std::vector<float>();
    const PhaseFiller<Stored> filler(shape, patches, source);
    const NormGradient<Stored> slopes =
        gradient_of_norm(norm, grad_out, z, gamma_gradient, beta_gradient, shape.n, rows, num_threads);
    const size_t part_size = static_cast<size_t>(NUM_TAPS) * shape.in * width;
    AlignedBuffer parts(part_size * parts_of(shape.n));
    std::memset(parts.data(), 0, part_size * parts_of(shape.n) * sizeof(float));
    over_images(shape.n, num_threads, [&](int part, int first, int last) {
        AlignedBuffer padded(filler.scratch_size()), phases(shape.phases_size()), wide(shape.result_pixels() * width);
        AlignedBuffer compact(floats_for<Stored>(rows * shape.out));
        std::memset(padded.data(), 0, filler.scratch_size() * sizeof(float));
        std::memset(phases.data(), 0, shape.phases_size() * sizeof(float));
        std::memset(wide.data(), 0, shape.result_pixels() * width * sizeof(float));
        Stored* dz = reinterpret_cast<Stored*>(compact.data());
        for (int i = first; i < last; i++) {
            const size_t at = i * rows * shape.out;
            slopes.apply(norm, grad_out + at, z + at, rows, dz);
            for (int row = 0; row < shape.out_h(); row++)
                for (int x = 0; x < shape.out_w(); x++)
                    copy_channels(dz + (static_cast<size_t>(row) * shape.out_w() + x) * shape.out,
                                  wide.data() + (static_cast<size_t>(row) * shape.row() + x) * width, shape.out);
            if (i > first && x_gradient) std::memset(phases.data(), 0, shape.phases_size() * sizeof(float));
            filler.fill(i, padded.data(), phases.data());
            add_strided_gradient(shape, phases.data(), wide.data(), parts.data() + part_size * part);
            if (!x_gradient) continue;
            strided_adjoint(shape, wide.data(), filters.data(), phases.data());
            for (int y = 0; y < shape.h; y++)
                for (int x = 0; x < shape.w; x++)
                    copy_channels_back(phases.data() + shape.pixel(y, x),
                                       x_gradient + ((static_cast<size_t>(i) * shape.h + y) * shape.w + x) * shape.in, shape.in);
        }
    });
    for (int part = 1; part < parts_of(shape.n); part++)
        for (size_t j = 0; j < part_size; j++) parts.data()[j] += parts.data()[part_size * part + j];
    for (int tap = 0; tap < NUM_TAPS; tap++)
        for (int i = 0; i < shape.in; i++)
            for (int o = 0; o < shape.out; o++)
                weight_gradient[o * strides.out + i * strides.in + tap * strides.tap] =
                    parts.data()[(static_cast<size_t>(tap) * shape.in + i) * width + o];
}

}  // namespace
