// The map before a convolution of stride 2, as four phases: even and odd rows, even and odd columns, with a border of
// zeros.
//
// Each tap of the filter then reads one phase, shifted; and as all phases have rows of out_w + 1 pixels, a shift is a
// constant distance in memory. Results have rows of that length, too: their last pixel is of no use, and its gradient
// is zero. A network's first such map is made here: whitened patches of 2x2 pixels and a ReLU, so it is never stored.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lanes.h"
#include "panels.h"
#include "tiles.h"
#include "vectors.h"

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
    int row() const { return out_w() + 1; }                         // pixels of a row of a phase
    int phase_pixels() const { return (out_h() + 1) * row() + 1; }  // the last shift reads one beyond the rows
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
            copy_channels(map + (static_cast<size_t>(y) * shape.w + x) * shape.in, phases + shape.pixel(y, x),
                          shape.in);
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

// Fills an image's phases with the ReLU of its whitened patches, by way of `padded`: the image within zeros.
inline void fill_from_patches(const StridedShape& shape, const Patches& patches, const std::vector<float>& by_depth,
                              const float* image, float* padded, float* phases) {
    const size_t line = static_cast<size_t>(patches.w) * patches.channels;
    const size_t padded_line = static_cast<size_t>(patches.padded_w()) * patches.channels;
    for (int y = 0; y < patches.h; y++) {
        float* to = padded + (y + patches.padding) * padded_line + patches.padding * patches.channels;
        for (size_t i = 0; i < line; i++) to[i] = with_usual_nan(image[y * line + i]);
    }
    const int width = shape.in_width(), depth = 2 * patches.channels;
    const size_t lines[2] = {0, padded_line};
    for (int y = 0; y < shape.h; y++)
        for (int first = 0; first < std::min(2, shape.w); first++) {  // every other pixel of a row is in one phase
            const int pixels = (shape.w - first + 1) / 2;
            float* to = phases + shape.pixel(y, first);
            for (int c = 0; c < width; c += 2 * LANES) {
                const Product p{padded + y * padded_line + first * patches.channels,
                                static_cast<size_t>(2 * patches.channels),
                                1,
                                by_depth.data() + c,
                                static_cast<size_t>(width),
                                to + c,
                                static_cast<size_t>(width),
                                depth,
                                lines,
                                2};
                c + LANES < width ? product<2, false>(p, pixels) : product<1, false>(p, pixels);
            }
            for (size_t at = 0; at < static_cast<size_t>(pixels) * width; at += LANES) {
                const Vector values = load(to + at);
                store(to + at, values < 0 ? Vector{} : values);  // a NaN stays one
            }
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
          padded_size_(patches.weights ? static_cast<size_t>(patches.h + 2 * patches.padding) * patches.padded_w() *
                                             patches.channels
                                       : 0) {}

    size_t scratch_size() const { return padded_size_; }
    void fill(int image, float* padded, float* phases) const {
        if (patches_.weights)
            fill_from_patches(shape_, patches_, by_depth_,
                              static_cast<const float*>(source_) +
                                  static_cast<size_t>(image) * patches_.h * patches_.w * patches_.channels,
                              padded, phases);
        else
            fill_from_map(
                shape_,
                static_cast<const Stored*>(source_) + static_cast<size_t>(image) * shape_.h * shape_.w * shape_.in,
                phases);
    }

   private:
    StridedShape shape_;
    Patches patches_;
    const void* source_;
    std::vector<float> by_depth_;
    size_t padded_size_;
};

}  // namespace
