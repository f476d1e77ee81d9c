// Batches of images against each pixel by itself: where it comes from, and sums in 64-bit integers.

#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "arrays.h"
#include "kernels.h"

namespace check {

constexpr int TAPS_PADDING = 2;  // that no sum of a side has

struct Images {
    int n, channels, h, w, out_h, out_w;
    bool cuts = false, reflects = false, flips = false;
    int padding = 0;

    std::string name() const {
        std::string name = "images";
        for (const int value : {n, channels, h, w, out_h, out_w, padding}) name += " " + std::to_string(value);
        return name + (cuts ? reflects ? " reflected" : " cut" : "") + (flips ? " flipped" : "");
    }
};

// Weights of a side's sums: random, of both signs so that some results must be clamped.
struct Side {
    int size, results, taps, precision = 12;
    std::vector<int32_t> sums;

    Side(Random& random, int from, int to) : size(from), results(to), taps(std::min(5, from) + TAPS_PADDING) {
        for (int i = 0; i < to; i++) {
            const int count = 1 + (i + from) % std::min(5, from), first = std::min(i * from / to, from - count);
            sums.push_back(first);
            sums.push_back(count);
            for (int j = 0; j < taps; j++)
                sums.push_back(j < count ? static_cast<int32_t>(4096 * random.draw(0.4f, 0.4f)) : 1 << 20);
        }
    }
    bool changes() const { return size != results; }
    const int32_t* data() const { return changes() ? sums.data() : nullptr; }

    template <typename Pixel>
    int value(int result, const Pixel& pixel) const {
        if (!changes()) return pixel(result);
        const int32_t* sum = sums.data() + static_cast<size_t>(result) * (2 + taps);
        int64_t total = 1 << (precision - 1);
        for (int j = 0; j < sum[1]; j++) total += static_cast<int64_t>(sum[2 + j]) * pixel(sum[0] + j);
        return static_cast<int>(std::clamp<int64_t>(total >> precision, 0, 255));
    }
};

inline void check_batch(Findings& findings, Random& random, const Images& c) {
    Array images(Kind::BYTES, static_cast<size_t>(c.n) * c.channels * c.h * c.w);
    for (size_t i = 0; i < images.size(); i++)
        images.bytes()[i] = static_cast<uint8_t>(std::clamp(random.draw(128, 90), 0.0f, 255.0f));
    const Array table = random.array(Kind::FLOAT32, static_cast<size_t>(c.channels) * 256);
    std::vector<int64_t> top, left;
    std::vector<uint8_t> flips;
    for (int i = 0; i < c.n; i++) {
        top.push_back((7 * i + 1) % (2 * c.padding + 1));
        left.push_back((5 * i + 2 * c.padding) % (2 * c.padding + 1));
        flips.push_back(i % 3 != 1);
    }
    const Side vertical(random, c.h, c.out_h), horizontal(random, c.w, c.out_w);

    const auto inside = [&](int64_t pixel, int size) {
        if (!c.reflects) return pixel;
        return pixel < 0 ? -pixel : pixel >= size ? 2 * (size - 1) - pixel : pixel;
    };
    const auto cut = [&](int i, int channel, int row, int column) {
        if (c.flips && flips[i]) column = c.w - 1 - column;
        const int64_t from_y = c.cuts ? inside(row + top[i] - c.padding, c.h) : row;
        const int64_t from_x = c.cuts ? inside(column + left[i] - c.padding, c.w) : column;
        if (from_y < 0 || from_y >= c.h || from_x < 0 || from_x >= c.w) return 0;
        return static_cast<int>(images[((static_cast<size_t>(i) * c.channels + channel) * c.h + from_y) * c.w + from_x]);
    };
    std::vector<double> expected, windows;
    for (int i = 0; i < c.n; i++)
        for (int y = 0; y < c.out_h; y++)
            for (int x = 0; x < c.out_w; x++)
                for (int channel = 0; channel < c.channels; channel++) {
                    const int level = vertical.value(y, [&](int row) {
                        return horizontal.value(x, [&](int column) { return cut(i, channel, row, column); });
                    });
                    expected.push_back(table[static_cast<size_t>(channel) * 256 + level]);
                }
    for (int i = 0; i < c.n; i++)
        for (int channel = 0; channel < c.channels; channel++)
            for (int y = 0; y < c.h; y++)
                for (int x = 0; x < c.w; x++) windows.push_back(cut(i, channel, y, x));

    const Arrays made = outputs_of(
        findings, c.name(), {images, table}, {Array(Kind::FLOAT32, expected.size())},
        [&](Arrays& given, Arrays& results, int num_threads) {
            thumbnet_images(given[0].bytes(), c.cuts ? top.data() : nullptr, c.cuts ? left.data() : nullptr,
                            c.flips ? flips.data() : nullptr, vertical.data(), horizontal.data(), given[1].floats(),
                            results[0].floats(), c.n, c.channels, c.h, c.w, c.out_h, c.out_w, c.padding, c.reflects,
                            vertical.taps, vertical.precision, horizontal.taps, horizontal.precision, num_threads);
        });
    expect(findings, c.name(), made[0], expected, 0);

    const Arrays bytes = outputs_of(
        findings, c.name() + ", cut", {images}, {Array(Kind::BYTES, images.size())},
        [&](Arrays& given, Arrays& results, int num_threads) {
            thumbnet_cut_images(given[0].bytes(), c.cuts ? top.data() : nullptr, c.cuts ? left.data() : nullptr,
                                c.flips ? flips.data() : nullptr, results[0].bytes(), c.n, c.channels, c.h, c.w, c.padding,
                                c.reflects, num_threads);
        });
    expect(findings, c.name() + ", cut", bytes[0], windows, 0);
}

inline void check_images(Findings& findings) {
    Random random;
    const int shapes[][4] = {{32, 32, 16, 16}, {32, 32, 32, 32}, {8, 8, 5, 12}, {17, 33, 16, 33},
                             {31, 16, 31, 9},  {3, 2, 40, 35},   {1, 1, 1, 1},  {1, 20, 4, 1}};
    for (const int channels : {1, 3, 4})
        for (const auto& [h, w, out_h, out_w] : shapes)
            for (const bool flips : {false, true}) {
                const auto run = [&](bool cuts, bool reflects, int padding) {
                    check_batch(findings, random,
                                {20, channels, h, w, out_h, out_w, cuts, reflects, flips, padding});
                };
                run(false, false, 0);
                run(true, false, 0);
                run(true, false, 2);
                run(true, false, 50);
                run(true, true, std::min(h, w) - 1);
            }
}

}  // namespace check
