// Changes of batches of bytes against each pixel by itself, in double precision.

#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "arrays.h"
#include "kernels.h"
#include "references.h"

namespace check {

constexpr double HALF_A_LEVEL = (0.5 + 2e-3) / 255;  // as a share of 255: the nearest byte, and what float32 loses

struct Changes {
    int n, channels, h, w;

    size_t plane() const { return static_cast<size_t>(h) * w; }
    size_t size() const { return n * channels * plane(); }
    std::string name(const char* change) const {
        std::string name = change;
        for (const int value : {n, channels, h, w}) name += " " + std::to_string(value);
        return name;
    }
    size_t at(int i, int c, int y, int x) const {
        return ((static_cast<size_t>(i) * channels + c) * h + y) * w + x;
    }
    // value(i, c, y, x) for each, cut to 0..255
    template <typename Value>
    Doubles each(const Value& value) const {
        Doubles values;
        for (int i = 0; i < n; i++)
            for (int c = 0; c < channels; c++)
                for (int y = 0; y < h; y++)
                    for (int x = 0; x < w; x++) values.push_back(std::clamp<double>(value(i, c, y, x), 0, 255));
        return values;
    }
    Array images(Random& random) const {
        Array images(Kind::BYTES, size());
        for (size_t i = 0; i < images.size(); i++)
            images.bytes()[i] = static_cast<uint8_t>(std::clamp(random.draw(128, 90), 0.0f, 255.0f));
        return images;
    }
};

inline double mirrored_place(double at, int size) {
    const double last = size - 1;
    if (last == 0) return 0;
    while (at < 0 || at > last) at = at < 0 ? -at : 2 * last - at;
    return at;
}

inline void check_turned(Findings& findings, Random& random, const Changes& c) {
    const Array images = c.images(random);
    Array sources(Kind::FLOAT32, 6 * static_cast<size_t>(c.n)), selected(Kind::BYTES, c.n);
    for (int i = 0; i < c.n; i++) {
        const float angle = random.draw(0, 1.0f), scale = i % 4 == 1 ? 1.0f : random.draw(1, 0.2f);
        const float source[] = {std::cos(angle) * scale, -std::sin(angle), random.draw(0, 3), std::sin(angle),
                                std::cos(angle), i % 5 == 2 ? 4.0f * c.h : 0.0f};
        const float unchanged[] = {1, 0, 0, 0, 1, 0};
        for (int k = 0; k < 6; k++) sources.set(6 * i + k, i == 0 ? unchanged[k] : source[k]);
        selected.bytes()[i] = i % 3 != 1;
    }
    const auto expected = c.each([&](int i, int channel, int y, int x) -> double {
        if (!selected[i]) return images[c.at(i, channel, y, x)];
        const double right = x - (c.w - 1) / 2.0, below = y - (c.h - 1) / 2.0;
        const auto place = [&](int k, int size) {
            return mirrored_place(sources[6 * i + k] * right + sources[6 * i + k + 1] * below + sources[6 * i + k + 2] +
                                      (size - 1) / 2.0,
                                  size);
        };
        const double from_x = place(0, c.w), from_y = place(3, c.h);
        const int left = static_cast<int>(from_x), upper = static_cast<int>(from_y);
        double sum = 0;
        for (const int dy : {0, 1})
            for (const int dx : {0, 1})
                sum += (dx ? from_x - left : 1 - from_x + left) * (dy ? from_y - upper : 1 - from_y + upper) *
                       images[c.at(i, channel, std::min(upper + dy, c.h - 1), std::min(left + dx, c.w - 1))];
        return sum;
    });
    const Arrays made = outputs_of(findings, c.name("turned"), {images, selected, sources},
                                   {Array(Kind::BYTES, c.size())}, [&](Arrays& given, Arrays& results, int num_threads) {
                                       thumbnet_turn_images(given[0].bytes(), given[1].bytes(), given[2].floats(),
                                                            results[0].bytes(), c.n, c.channels, c.h, c.w, num_threads);
                                   });
    expect(findings, c.name("turned"), made[0], expected, HALF_A_LEVEL, never, 255);
}

inline void check_mixed(Findings& findings, Random& random, const Changes& c) {
    const Array images = c.images(random);
    const size_t sums = static_cast<size_t>(c.channels) * c.channels;
    const Array mixing = random.array(Kind::FLOAT32, c.n * sums, 1.0f / static_cast<float>(c.channels), 0.3f);
    const Array lifts = random.array(Kind::FLOAT32, c.n, 0, 0.2f), greys = random.array(Kind::FLOAT32, c.channels, 0.3f, 0.1f);
    Doubles grey(c.n);
    for (int i = 0; i < c.n; i++)
        for (int k = 0; k < c.channels; k++)
            for (int y = 0; y < c.h; y++)
                for (int x = 0; x < c.w; x++) grey[i] += greys[k] * images[c.at(i, k, y, x)] / static_cast<double>(c.plane());
    const auto expected = c.each([&](int i, int channel, int y, int x) {
        double sum = lifts[i] * grey[i];
        for (int k = 0; k < c.channels; k++) sum += mixing[i * sums + channel * c.channels + k] * images[c.at(i, k, y, x)];
        return sum;
    });
    const Arrays made = outputs_of(
        findings, c.name("mixed"), {images, mixing, lifts, greys}, {Array(Kind::BYTES, c.size())},
        [&](Arrays& given, Arrays& results, int num_threads) {
            thumbnet_mix_images(given[0].bytes(), given[1].floats(), given[2].floats(), given[3].floats(),
                                results[0].bytes(), c.n, c.channels, c.h, c.w, num_threads);
        });
    expect(findings, c.name("mixed"), made[0], expected, HALF_A_LEVEL, never, 255);
}

inline void check_sharpened(Findings& findings, Random& random, const Changes& c) {
    const Array images = c.images(random), factors = random.array(Kind::FLOAT32, c.n, 1.5f, 0.4f);
    const auto expected = c.each([&](int i, int channel, int y, int x) -> double {
        const double centre = images[c.at(i, channel, y, x)];
        if (y == 0 || x == 0 || y == c.h - 1 || x == c.w - 1) return centre;
        double sum = 4 * centre;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) sum += images[c.at(i, channel, y + dy, x + dx)];
        return sum / 13 + factors[i] * (centre - sum / 13);
    });
    const Arrays made = outputs_of(findings, c.name("sharpened"), {images, factors}, {Array(Kind::BYTES, c.size())},
                                   [&](Arrays& given, Arrays& results, int num_threads) {
                                       thumbnet_sharpen_images(given[0].bytes(), given[1].floats(), results[0].bytes(),
                                                               c.n, c.channels, c.h, c.w, num_threads);
                                   });
    expect(findings, c.name("sharpened"), made[0], expected, HALF_A_LEVEL, never, 255);
}

inline void check_changes(Findings& findings) {
    Random random;
    const int shapes[][2] = {{1, 1}, {1, 7}, {9, 1}, {2, 2}, {3, 3}, {4, 19}, {16, 16}, {17, 33}, {32, 32}, {41, 18}};
    for (const int channels : {1, 2, 3, 4, 5})
        for (const auto& [h, w] : shapes) {
            const Changes changes{20, channels, h, w};  // more than parts
            check_turned(findings, random, changes);
            check_mixed(findings, random, changes);
            check_sharpened(findings, random, changes);
        }
}

}  // namespace check
