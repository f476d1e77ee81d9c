// A convolution's shape, and how its maps are cut into tiles, chunks of tiles and groups of images.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lanes.h"
#include "vectors.h"

namespace {

constexpr int LINE = 16;  // floats in a cache line
constexpr int TAPS_A_SIDE = 3, NUM_TAPS = 9;
constexpr int MAX_CHUNK = 48;  // tiles, whose transformed values then stay in a cache of the second level

// Maps [n, h, w, in] to [n, out_h, out_w, out].
struct Shape {
    int n, h, w, in, out, padding, dilation;

    int out_h() const { return h + 2 * padding - 2 * dilation; }
    int out_w() const { return w + 2 * padding - 2 * dilation; }
};

// The weights' layout, [out][in][3][3] by their strides, which their gradient has, too.
struct Strides {
    int64_t out, in, tap;
};

// All tiles of an image, where their values lie in its map and its result, how many images are worked on together (a
// group), and how the tiles of a group are cut into chunks.
template <typename Filter>
struct Tiling {
    static constexpr int OUT = Filter::OUT, IN = Filter::IN, OUTSIDE = -1;

    std::vector<int> in_offsets, out_offsets;  // [tile][IN * IN] and [tile][OUT * OUT], in values; or OUTSIDE

    explicit Tiling(const Shape& shape) {
        const int step = shape.dilation;
        for (int begin_y = 0; begin_y < std::min(step, shape.out_h()); begin_y++)
            for (int begin_x = 0; begin_x < std::min(step, shape.out_w()); begin_x++)
                for (int y = begin_y; y < shape.out_h(); y += OUT * step)
                    for (int x = begin_x; x < shape.out_w(); x += OUT * step) {
                        add(in_offsets, IN, step, y - shape.padding, x - shape.padding, shape.h, shape.w, shape.in);
                        add(out_offsets, OUT, step, y, x, shape.out_h(), shape.out_w(), shape.out);
                    }
    }
    int tiles() const { return static_cast<int>(in_offsets.size()) / (IN * IN); }
    int images_a_group() const { return std::max(1, MAX_CHUNK / std::max(1, tiles())); }
    int most_tiles() const { return std::min(MAX_CHUNK, images_a_group() * tiles()); }

    // work(first_image, images) for groups of images, evenly cut
    template <typename Work>
    void over_groups(int first, int last, const Work& work) const {
        const int num_groups = (last - first + images_a_group() - 1) / images_a_group();
        for (int group = 0; group < num_groups; group++) {
            const int begin = first + static_cast<int>(static_cast<int64_t>(last - first) * group / num_groups);
            const int end = first + static_cast<int>(static_cast<int64_t>(last - first) * (group + 1) / num_groups);
            work(begin, end - begin);
        }
    }
    // work(first_tile, tiles) for chunks of a group's tiles, evenly cut
    template <typename Work>
    void over_chunks(int images, const Work& work) const {
        const int64_t total = static_cast<int64_t>(images) * tiles(), num_chunks = (total + MAX_CHUNK - 1) / MAX_CHUNK;
        for (int64_t chunk = 0; chunk < num_chunks; chunk++) {
            const int begin = static_cast<int>(total * chunk / num_chunks);
            work(begin, static_cast<int>(total * (chunk + 1) / num_chunks) - begin);
        }
    }
    // work(tile of the chunk, its image's values, its offsets) for a chunk's tiles, while the cache already fetches
    // `line` values from each of the next one's offsets on: they lie too far apart for a processor to foresee.
    template <int size, bool writes, typename Values, typename Work>
    void over_tiles(const std::vector<int>& offsets, int first, int count, Values* values, size_t image_size, int line,
                    const Work& work) const {
        int in_image = first % tiles();
        values += first / tiles() * image_size;
        for (int tile = 0; tile < count; tile++) {
            const bool is_last = in_image + 1 == tiles();
            const int next_in_image = is_last ? 0 : in_image + 1;
            Values* next_values = is_last ? values + image_size : values;
            if (tile + 1 < count) fetch<size, writes>(offsets.data() + next_in_image * size * size, next_values, line);
            work(tile, values, offsets.data() + in_image * size * size);
            in_image = next_in_image;
            values = next_values;
        }
    }

   private:
    template <int size, bool writes, typename Values>
    static inline __attribute__((always_inline)) void fetch(const int* offsets, const Values* values, int line) {
        constexpr int step = LINE * sizeof(float) / sizeof(Values);
        for (int i = 0; i < size * size; i++)
            for (int at = 0; offsets[i] != OUTSIDE && at < line; at += step)
                __builtin_prefetch(values + offsets[i] + at, writes);
    }
    static void add(std::vector<int>& offsets, int size, int step, int y, int x, int height, int width, int channels) {
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) {
                const int row = y + i * step, column = x + j * step;
                const bool is_inside = row >= 0 && row < height && column >= 0 && column < width;
                offsets.push_back(is_inside ? (row * width + column) * channels : OUTSIDE);
            }
    }
};

template <int size, typename Values>
inline __attribute__((always_inline)) void locate(Values* image, const int* offsets, Values* outside,
                                                  Values* (&at)[size]) {
#pragma GCC unroll 36
    for (int i = 0; i < size; i++) at[i] = offsets[i] < 0 ? outside : image + offsets[i];
}

// work(is_short, vector, first channel) for each vector of channels
template <typename Work>
inline void over_vectors(const Lanes& lanes, const Work& work) {
    if (lanes.is_short()) return work(std::true_type(), 0, 0);
    for (int vector = 0; vector < lanes.vectors(); vector++) work(std::false_type(), vector, lanes.first(vector));
}

template <bool is_short, typename Stored>
inline Vector load_some(const Stored* from, int channels) {
    if constexpr (is_short) return load_short(from, channels);
    return load(from);
}
template <bool is_short, typename Stored>
inline void store_some(Stored* to, Vector values, int channels) {
    if constexpr (is_short) return store_short(to, values, channels);
    store(to, values);
}

// A plane's floats: an odd number of cache lines, or the planes would fall into the same few sets of a cache.
inline size_t plane_of(int tiles, int positions) {
    const size_t lines = (static_cast<size_t>(tiles) * positions + LINE - 1) / LINE;
    return (lines | 1) * LINE;
}

}  // namespace
