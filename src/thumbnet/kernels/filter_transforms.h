// The filters of 3x3 convolutions, transformed for Winograd's minimal filters, and their gradient, transformed back.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lanes.h"
#include "minimal_filters.h"
#include "tiles.h"
#include "vectors.h"

namespace {

// Nine taps of LANES filters, for output channels from `vector` on and one input channel, or the other way round
inline void gather_taps(const float* weights, const Strides& strides, const Lanes& lanes, int vector,
                        int64_t lane_stride, int64_t other, Vector (&taps)[TAPS_A_SIDE][TAPS_A_SIDE]) {
    alignas(64) float values[NUM_TAPS][LANES] = {};
    const int first = lanes.first(vector), count = std::min(LANES, lanes.channels);
    for (int lane = 0; lane < count; lane++)
        for (int tap = 0; tap < NUM_TAPS; tap++)
            values[tap][lane] = with_usual_nan(weights[(first + lane) * lane_stride + other + tap * strides.tap]);
    for (int tap = 0; tap < NUM_TAPS; tap++) taps[tap / TAPS_A_SIDE][tap % TAPS_A_SIDE] = load(values[tap]);
}

// G g Gt as panels along `lanes`: [panel][frequency][depth position][panel's width]. A depth position that repeats a
// channel is zero; so is, if `zero_repeated`, a lane that does.
template <typename Filter>
void transform_filters(const Lanes& in, const Lanes& out, const float* weights, const Strides& strides, bool along_out,
                       bool zero_repeated, float* filters, int num_threads) {
    constexpr int IN = Filter::IN, FREQUENCIES = IN * IN;
    const Lanes &lanes = along_out ? out : in, &deep = along_out ? in : out;
    const int64_t lane_stride = along_out ? strides.out : strides.in,
                  deep_stride = along_out ? strides.in : strides.out;
    const int depth = deep.positions(), vectors = lanes.vectors();
#pragma omp parallel for schedule(static) num_threads(num_threads)
    for (int vector = 0; vector < vectors; vector++) {
        const int panel = vector / 2, width = std::min(2, vectors - 2 * panel) * LANES;
        float* to = filters + static_cast<size_t>(panel) * FREQUENCIES * depth * 2 * LANES + vector % 2 * LANES;
        Vector kept = {};
        for (int lane = 0; lane < LANES; lane++) kept[lane] = lanes.is_first(vector * LANES + lane);
        for (int k = 0; k < depth; k++) {
            Vector taps[TAPS_A_SIDE][TAPS_A_SIDE] = {}, result[IN][IN];
            if (deep.is_first(k))
                gather_taps(weights, strides, lanes, vector, lane_stride, deep.channel(k) * deep_stride, taps);
            along_both(taps, result, Filter::filter);
            for (int i = 0; i < IN; i++)
                for (int j = 0; j < IN; j++) {
                    const size_t f = i * IN + j;
                    store(to + (f * depth + k) * width,
                          zero_repeated ? kept != 0 ? result[i][j] : Vector{} : result[i][j]);
                }
        }
    }
}

// Gt u G: [frequency][out position][in position] to [out][tap][in position]
template <typename Filter>
void transform_gradient(const Lanes& in, const Lanes& out, const float* gradient, float* part) {
    constexpr int IN = Filter::IN;
    const size_t rows = out.positions(), width = in.positions();
    for (size_t row = 0; row < rows; row++) {
        if (!out.is_first(static_cast<int>(row))) continue;
        const size_t o = out.channel(static_cast<int>(row));
        for (int vector = 0; vector < in.vectors(); vector++) {
            Vector values[IN][IN], taps[TAPS_A_SIDE][TAPS_A_SIDE];
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++)
#pragma GCC unroll 6
                for (int j = 0; j < IN; j++)
                    values[i][j] = load(gradient + ((i * IN + j) * rows + row) * width + vector * LANES);
            along_both(values, taps, Filter::filter_adjoint);
            float* to = part + o * NUM_TAPS * width + vector * LANES;
            for (int tap = 0; tap < NUM_TAPS; tap++)
                store(to + tap * width, taps[tap / TAPS_A_SIDE][tap % TAPS_A_SIDE]);
        }
    }
}

// The sum over parts of [out][tap][in position], where the weights' gradient lies in memory.
inline void sum_parts(const Lanes& in, int out_channels, float* parts, size_t part_size, int num_parts,
                      const Strides& strides, float* weight_gradient, int num_threads) {
    const int width = in.positions(), lines = out_channels * NUM_TAPS;
#pragma omp parallel for schedule(static) num_threads(num_threads)
    for (int line = 0; line < lines; line++) {
        float* sums = parts + static_cast<size_t>(line) * width;
        for (int part = 1; part < num_parts; part++)
            for (int at = 0; at < width; at += LANES)
                store(sums + at, load(sums + at) + load(sums + part * part_size + at));
        float* to = weight_gradient + line / NUM_TAPS * strides.out + line % NUM_TAPS * strides.tap;
        for (int at = 0; at < width; at++)
            if (in.channel(at) < in.channels) to[in.channel(at) * strides.in] = sums[at];
    }
}

}  // namespace
