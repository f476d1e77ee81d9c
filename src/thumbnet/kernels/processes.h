// Sums over a batch of which other processes have parts, too.

#pragma once

#include <vector>

namespace {

// Replaces values by their sums over all processes that train a model together; null: this one does alone.
using AddUp = void (*)(double* values, int count);
AddUp add_up = nullptr;

// Of one channel after the other the first sums, then of each the second ones, then how many values a channel has.
struct ChannelSums {
    std::vector<double> values;
    int channels;

    ChannelSums(int channels, double count) : values(2 * channels + 1), channels(channels) { values.back() = count; }
    double& first(int channel) { return values[channel]; }
    double& second(int channel) { return values[channels + channel]; }
    double count() const { return values.back(); }

    void over_processes() {
        if (add_up) add_up(values.data(), static_cast<int>(values.size()));
    }
};

// From the sums of a batch's parts; `order` has the channel at each place.
inline ChannelSums over_parts_of(const std::vector<double>& sums, int num_parts, const std::vector<int>& order, double count) {
    const int channels = static_cast<int>(order.size());
    ChannelSums total(channels, count);
    for (int at = 0; at < channels; at++)
        for (int part = 0; part < num_parts; part++) {
            total.first(order[at]) += sums[(2 * part) * channels + at];
            total.second(order[at]) += sums[(2 * part + 1) * channels + at];
        }
    return total;
}

}  // namespace
