// Any number of channels as whole vectors: where they are no multiple of LANES, the last vector starts earlier and
// repeats channels of the one before. Fewer channels than LANES are one vector with zeros at its end.

#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "vectors.h"

namespace {

// Vectors of LANES channels: the first channel of each, and which channel a position (vector * LANES + lane) stands
// for.
struct Lanes {
    int channels;

    int vectors() const { return (channels + LANES - 1) / LANES; }
    int positions() const { return vectors() * LANES; }
    bool is_short() const { return channels < LANES; }
    int first(int vector) const { return std::max(0, std::min(vector * LANES, channels - LANES)); }
    int channel(int position) const {
        const int vector = position / LANES;
        return first(vector) + position % LANES;  // `channels` or more where `is_short`
    }
    // Whether a position is the first that stands for its channel.
    bool is_first(int position) const {
        const int c = channel(position);
        return c < channels && c >= position / LANES * LANES;
    }
};

template <typename Stored>
inline Vector load_short(const Stored* from, int count) {
    Stored values[LANES] = {};
    std::memcpy(static_cast<void*>(values), from, count * sizeof(Stored));
    return load(values);
}
template <typename Stored>
inline void store_short(Stored* to, Vector vector, int count) {
    Stored values[LANES];
    store(values, vector);
    std::memcpy(static_cast<void*>(to), values, count * sizeof(Stored));
}

}  // namespace
