// A batch of images of bytes as a network is trained on them: a window cut out of each with its border, flipped, resized,
// and normalised by a table. The window and the flip only choose rows and columns: nothing is copied for them.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "parts.h"
#include "resize.h"

namespace {

constexpr int GREY_LEVELS = 256;

struct ImageShape {
    int n, channels, h, w, out_h, out_w;
};

// Which part of each image, of its own size, is cut out. Null: `top` and `left`, the image as it is; `flips`, none.
struct Windows {
    const int64_t *top, *left;  // corners in the image with `padding` pixels around it
    const uint8_t* flips;       // left and right
    int padding;
    bool reflects;  // reflect-101, with a padding below the size; else zeros

    bool has_zeros() const { return top && !reflects && padding > 0; }
};

// For each pixel of a window's side the one of the image; `outside` for a zero.
inline void choose_pixels(int size, int64_t first, bool flipped, bool reflects, int outside, int* at) {
    for (int i = 0; i < size; i++) {
        int64_t pixel = first + (flipped ? size - 1 - i : i);
        if (reflects) pixel = pixel < 0 ? -pixel : pixel >= size ? 2 * (size - 1) - pixel : pixel;
        at[i] = pixel < 0 || pixel >= size ? outside : static_cast<int>(pixel);
    }
}

// Maps of bytes by channel, as the next pass finds them, and which of their rows and columns stand for the pixels.
struct ByteMaps {
    const uint8_t* values;
    size_t stride, channel_stride;
    const int *rows, *columns;
};

// [h, w, c] of a table's values: [c][GREY_LEVELS].
template <int known_channels>
void look_up(const ByteMaps& maps, const float* table, int height, int width, int num_channels, float* to) {
    const int channels = known_channels ? known_channels : num_channels;
    for (int y = 0; y < height; y++) {
        const uint8_t* row = maps.values + maps.rows[y] * maps.stride;
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *to++ = table[c * GREY_LEVELS + row[c * maps.channel_stride + maps.columns[x]]];
    }
}

// The memory of one image's passes, which `make` goes through.
class ImageMaker {
   public:
    ImageMaker(const ImageShape& shape, const Resampling& vertical, const Resampling& horizontal)
        : shape_(shape),
          vertical_(vertical),
          horizontal_(horizontal),
          rows_(padded(shape.h)),
          columns_(horizontal.changes() ? padded(shape.out_w) : padded(shape.w + 1)),
          at_row_(shape.h),
          at_column_(shape.w),
          same_(std::max(shape.out_h, shape.out_w)),
          transposed_(horizontal.changes() ? (padded(shape.w) + 1) * rows_ : 0),
          narrowed_(horizontal.changes() ? columns_ * rows_ : 0),
          maps_(shape.channels * map_size()),
          resized_(vertical.changes() ? shape.channels * shape.out_h * columns_ : 0) {
        for (size_t i = 0; i < same_.size(); i++) same_[i] = static_cast<int>(i);
    }

    void make(const uint8_t* image, const Windows& windows, int index, const float* table, float* to) {
        const bool is_cut = windows.top != nullptr;
        choose_pixels(shape_.h, is_cut ? windows.top[index] - windows.padding : 0, false, windows.reflects,
                      static_cast<int>(rows_), at_row_.data());
        choose_pixels(shape_.w, is_cut ? windows.left[index] - windows.padding : 0, windows.flips && windows.flips[index],
                      windows.reflects, horizontal_.changes() ? padded(shape_.w) : shape_.w, at_column_.data());
        const size_t width = shape_.w, plane = shape_.h * width;
        ByteMaps maps{image, width, plane, at_row_.data(), at_column_.data()};
        if (horizontal_.changes()) {
            for (int c = 0; c < shape_.channels; c++) resize_width(image + c * plane, maps_.data() + c * map_size());
            maps = {maps_.data(), columns_, map_size(), at_row_.data(), same_.data()};
        } else if (vertical_.changes() || windows.has_zeros()) {
            for (int c = 0; c < shape_.channels; c++)
                for (int y = 0; y < shape_.h; y++)
                    std::memcpy(maps_.data() + c * map_size() + y * columns_, image + c * plane + y * width, width);
            maps = {maps_.data(), columns_, map_size(), at_row_.data(), at_column_.data()};
        }
        if (vertical_.changes()) {
            const size_t size = shape_.out_h * columns_;
            for (int c = 0; c < shape_.channels; c++)
                for (int y = 0; y < shape_.out_h; y++)
                    sum_rows(vertical_, y, maps_.data() + c * map_size(), columns_, at_row_.data(),
                             resized_.data() + c * size + y * columns_, static_cast<int>(columns_));
            maps = {resized_.data(), columns_, size, same_.data(), maps.columns};
        }
        const auto write = shape_.channels == 3 ? look_up<3> : shape_.channels == 1 ? look_up<1> : look_up<0>;
        write(maps, table, shape_.out_h, shape_.out_w, shape_.channels, to);
    }

   private:
    size_t map_size() const { return (rows_ + 1) * columns_; }  // the last row is zeros, as is the last column

    void resize_width(const uint8_t* map, uint8_t* to) {
        transpose(map, shape_.h, shape_.w, transposed_.data(), rows_);
        for (int x = 0; x < shape_.out_w; x++)
            sum_rows(horizontal_, x, transposed_.data(), rows_, at_column_.data(), narrowed_.data() + x * rows_,
                     static_cast<int>(rows_));
        for (size_t x = 0; x < columns_; x += BLOCK)
            for (size_t y = 0; y < rows_; y += BLOCK)
                transpose_block(narrowed_.data() + x * rows_ + y, rows_, to + y * columns_ + x, columns_);
    }

    ImageShape shape_;
    Resampling vertical_, horizontal_;
    size_t rows_, columns_;  // with padding
    std::vector<int> at_row_, at_column_, same_;
    std::vector<uint8_t> transposed_, narrowed_, maps_, resized_;
};

// The windows themselves: bytes of the images' shape [n, channels, h, w], neither resized nor normalised.
inline void cut_images(const uint8_t* images, int n, int channels, int h, int w, const Windows& windows, uint8_t* to,
                       int num_threads) {
    const size_t width = w, plane = h * width;
    over_images(n, num_threads, [&](int, int first, int last) {
        std::vector<int> at_row(h), at_column(w);
        std::vector<uint8_t> row(width + 1);  // the last is the zero outside
        for (int i = first; i < last; i++) {
            const bool is_cut = windows.top != nullptr;
            choose_pixels(h, is_cut ? windows.top[i] - windows.padding : 0, false, windows.reflects, h, at_row.data());
            choose_pixels(w, is_cut ? windows.left[i] - windows.padding : 0, windows.flips && windows.flips[i],
                          windows.reflects, w, at_column.data());
            for (int c = 0; c < channels; c++) {
                const uint8_t *map = images + (static_cast<size_t>(i) * channels + c) * plane, *from = row.data();
                const int* columns = at_column.data();
                uint8_t* result = to + (static_cast<size_t>(i) * channels + c) * plane;
                for (int y = 0; y < h; y++, result += width) {
                    if (at_row[y] == h) {
                        std::memset(result, 0, width);
                        continue;
                    }
                    std::memcpy(row.data(), map + at_row[y] * width, width);
                    for (int x = 0; x < w; x++) result[x] = from[columns[x]];
                }
            }
        }
    });
}

// `to` is [n, out_h, out_w, channels].
void make_images(const uint8_t* images, const ImageShape& shape, const Windows& windows, const Resampling& vertical,
                 const Resampling& horizontal, const float* table, float* to, int num_threads) {
    const size_t size = static_cast<size_t>(shape.channels) * shape.h * shape.w;
    const size_t out_size = static_cast<size_t>(shape.channels) * shape.out_h * shape.out_w;
    over_images(shape.n, num_threads, [&](int, int first, int last) {
        ImageMaker maker(shape, vertical, horizontal);
        for (int i = first; i < last; i++) maker.make(images + i * size, windows, i, table, to + i * out_size);
    });
}

}  // namespace
