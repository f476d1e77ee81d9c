// Muon's step on filters against its definition.

#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "kernels.h"
#include "references.h"

namespace check {

constexpr double LR = 0.3, MUON_MOMENTUM = 0.6;

// [rows, columns], row by row.
struct Matrix {
    int rows, columns;
    Doubles values;

    Matrix(int rows, int columns) : rows(rows), columns(columns), values(static_cast<size_t>(rows) * columns) {}
    Matrix(int rows, int columns, Doubles values) : rows(rows), columns(columns), values(std::move(values)) {}
    double& at(int i, int j) { return values[static_cast<size_t>(i) * columns + j]; }
    double at(int i, int j) const { return values[static_cast<size_t>(i) * columns + j]; }
    double norm() const {
        double squares = 0;
        for (const double value : values) squares += value * value;
        return std::sqrt(squares);
    }
    Matrix transposed() const {
        Matrix result(columns, rows);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) result.at(j, i) = at(i, j);
        return result;
    }
    Matrix times(const Matrix& other) const {
        Matrix result(rows, other.columns);
        for (int i = 0; i < rows; i++)
            for (int k = 0; k < columns; k++)
                for (int j = 0; j < other.columns; j++) result.at(i, j) += at(i, k) * other.at(k, j);
        return result;
    }
};

// Newton and Schulz's iteration, a step at a time: x = a x + (b x xT + c (x xT)^2) x.
inline Matrix orthogonalised(Matrix x) {
    const double norm = x.norm() + 1e-7;
    for (double& value : x.values) value /= norm;
    for (int step = 0; step < 3; step++) {
        const Matrix gram = x.times(x.transposed()), square = gram.times(gram);
        Matrix polynomial(x.rows, x.rows);
        for (size_t i = 0; i < gram.values.size(); i++)
            polynomial.values[i] = -4.7750 * gram.values[i] + 2.0315 * square.values[i];
        for (int i = 0; i < x.rows; i++) polynomial.at(i, i) += 3.4445;
        x = polynomial.times(x);
    }
    return x;
}

enum class Special { NOTHING, ZERO_GRADIENT, ZERO_WEIGHT, NAN_IN_GRADIENT, NAN_IN_WEIGHT, NAN_IN_MOMENTUM };

// One call with all filters of these shapes, of which the last is special.
inline void check_muon_step(Findings& findings, Random& random, const std::vector<std::pair<int, int>>& shapes,
                            Special special) {
    const size_t count = shapes.size();
    Arrays gradients, moved;  // the filters and, behind them, their momenta
    std::vector<int> rows, columns;
    for (const auto& [k, m] : shapes) {
        rows.push_back(k), columns.push_back(m);
        gradients.push_back(random.array(Kind::FLOAT32, static_cast<size_t>(k) * m, 0, 0.01f));
        moved.push_back(random.array(Kind::FLOAT32, static_cast<size_t>(k) * m, 0, 0.1f));
    }
    for (size_t i = 0; i < count; i++) moved.push_back(random.array(Kind::FLOAT32, moved[i].size(), 0, 0.02f));
    const auto fill_with_zeros = [](Array& array) {
        for (size_t i = 0; i < array.size(); i++) array.set(i, 0);
    };
    Array &gradient = gradients.back(), &weight = moved[count - 1], &momentum = moved.back();
    if (special == Special::ZERO_GRADIENT) fill_with_zeros(gradient), fill_with_zeros(momentum);
    if (special == Special::ZERO_WEIGHT) fill_with_zeros(weight);
    if (special == Special::NAN_IN_GRADIENT) gradient.set_bits(gradient.size() - 1, UNUSUAL_NAN);
    if (special == Special::NAN_IN_WEIGHT) weight.set_bits(weight.size() - 1, UNUSUAL_NAN);
    if (special == Special::NAN_IN_MOMENTUM) momentum.set_bits(0, UNUSUAL_NAN);

    const Arrays found = outputs_of(
        findings, "muon, special " + std::to_string(static_cast<int>(special)), gradients, moved,
        [&](Arrays& in, Arrays& out, int num_threads) {
            std::vector<float*> weights, momenta;
            std::vector<const float*> given;
            for (size_t i = 0; i < count; i++) {
                weights.push_back(out[i].floats()), momenta.push_back(out[count + i].floats());
                given.push_back(in[i].floats());
            }
            thumbnet_muon_step(weights.data(), given.data(), momenta.data(), rows.data(), columns.data(),
                               static_cast<int>(count), LR, MUON_MOMENTUM, num_threads);
        });
    for (size_t i = 0; i < count; i++) {
        const std::string name = "muon " + std::to_string(rows[i]) + " " + std::to_string(columns[i]) + " special " +
                                 std::to_string(i + 1 < count ? 0 : static_cast<int>(special));
        Doubles momentum_then = doubles_of(moved[count + i]);
        Matrix update(rows[i], columns[i]), filter(rows[i], columns[i], doubles_of(moved[i]));
        for (size_t j = 0; j < momentum_then.size(); j++) {
            momentum_then[j] = MUON_MOMENTUM * momentum_then[j] + gradients[i][j];
            update.values[j] = gradients[i][j] + MUON_MOMENTUM * momentum_then[j];
        }
        const Matrix step = orthogonalised(update);
        const double norm = filter.norm(), scale = std::sqrt(rows[i]) / (norm < 1e-7 ? 1e-7 : norm);
        for (size_t j = 0; j < filter.values.size(); j++)
            filter.values[j] = scale * filter.values[j] - LR * step.values[j];
        expect(findings, name + ", momentum", found[count + i], momentum_then, 1e-6);
        expect(findings, name, found[i], filter.values, 3e-6);
    }
}

inline void check_muon_steps(Findings& findings) {
    Random random;
    const std::vector<std::pair<int, int>> shapes = {
        {1, 1},   {1, 9},   {9, 1},   {10, 9},   {9, 10},   {3, 27},    {8, 24},   {24, 8},   {16, 16},
        {17, 33}, {33, 17}, {40, 31}, {24, 216}, {32, 135}, {104, 45}, {45, 104}, {62, 252}, {84, 90}, {128, 130}};
    check_muon_step(findings, random, shapes, Special::NOTHING);
    for (const auto& shape : {std::pair(12, 45), std::pair(45, 12)})
        for (const Special special : {Special::ZERO_GRADIENT, Special::ZERO_WEIGHT, Special::NAN_IN_GRADIENT,
                                      Special::NAN_IN_WEIGHT, Special::NAN_IN_MOMENTUM})
            check_muon_step(findings, random, {{20, 27}, shape}, special);
}

}  // namespace check
