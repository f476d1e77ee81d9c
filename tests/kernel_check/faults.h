// Kernels that double their input with a fault each, which the check must find.

#pragma once

#include <functional>
#include <string>

#include "arrays.h"
#include "references.h"

namespace check {

using Fault = std::function<void(float* from, float* to, int size, int num_threads)>;

inline void run_faults(Findings& findings) {
    Random random;
    constexpr int SIZE = 40;
    Array given = random.array(Kind::FLOAT32, SIZE);
    const auto run = [&](const std::string& name, const Fault& fault) {
        const Arrays found = outputs_of(findings, name, {given}, {Array(Kind::FLOAT32, SIZE)},
                                        [&](Arrays& in, Arrays& out, int num_threads) {
                                            float *from = in[0].floats(), *to = out[0].floats();
                                            for (int i = 0; i < SIZE; i++) to[i] = 2 * from[i];
                                            fault(from, to, SIZE, num_threads);
                                        });
        Doubles expected = doubles_of(given);
        for (double& value : expected) value *= 2;
        expect(findings, name, found[0], expected, 1e-5);
    };
    run("none", [](float*, float*, int, int) {});
    run("after", [](float*, float* to, int size, int) { to[size] = 1; });
    run("before", [](float*, float* to, int, int) { to[-1] = 1; });
    run("input", [](float* from, float*, int size, int) { from[size - 1] = 1; });
    run("threads", [](float*, float* to, int size, int num_threads) { to[size / 2] *= num_threads > 1 ? 1 + 1e-6f : 1; });
    run("value", [](float*, float* to, int size, int) { to[size / 3] += 1e-3f; });
    run("unwritten", [](float*, float* to, int, int) { std::memset(to, UNWRITTEN, sizeof(float)); });
    given.set_bits(SIZE - 1, UNUSUAL_NAN);
    run("NaN", [](float*, float* to, int size, int) { to[size - 1] = 0; });
}

}  // namespace check
