/* The kernels of a page that thumbnet writes, for WebAssembly with SIMD; engine.js calls them. README.md says how they
 * are compiled.
 *
 * Maps are [height][width][channels] of float, the number of channels a multiple of 4 (those added are 0). Filters are
 * packed by engine.js: blocks of 8 output channels (the last one may have 4), in each block [depth][8], where depth
 * runs over rows, columns and input channels of a filter. Freestanding: no library, no memory of its own. */
#include <wasm_simd128.h>

typedef v128_t vec; /* four floats */

#define EXPORT(name) __attribute__((export_name(#name))) name

/* `pixels` rows of x (each `depth` floats) by `vecs` vectors of one block of filters, whose rows are `stride` floats. */
static inline __attribute__((always_inline)) void tile(const float *x, int depth, const float *filters, float *y,
                                                       int channels, const int pixels, const int vecs)
{
    vec sums[4][2];
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vecs; v++)
            sums[p][v] = wasm_f32x4_const_splat(0);
    for (int d = 0; d < depth; d++, filters += 4 * vecs) {
        vec weights[2];
        for (int v = 0; v < vecs; v++)
            weights[v] = wasm_v128_load(filters + 4 * v);
        for (int p = 0; p < pixels; p++) {
            vec value = wasm_v128_load32_splat(x + p * depth + d);
            for (int v = 0; v < vecs; v++)
                sums[p][v] = wasm_f32x4_add(sums[p][v], wasm_f32x4_mul(value, weights[v]));
        }
    }
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vecs; v++)
            wasm_v128_store(y + p * channels + 4 * v, sums[p][v]);
}

/* y [pixels][channels] = x [pixels][depth] times filters: a 1x1 convolution, or any convolution of gathered patches. */
void EXPORT(multiply)(const float *x, int pixels, int depth, const float *filters, float *y, int channels)
{
    for (int k = 0; k < channels; k += 8) {
        int is_half = channels - k < 8, p = 0;
        for (; p + 4 <= pixels; p += 4) {
            if (is_half)
                tile(x + p * depth, depth, filters, y + p * channels + k, channels, 4, 1);
            else
                tile(x + p * depth, depth, filters, y + p * channels + k, channels, 4, 2);
        }
        for (; p < pixels; p++) {
            if (is_half)
                tile(x + p * depth, depth, filters, y + p * channels + k, channels, 1, 1);
            else
                tile(x + p * depth, depth, filters, y + p * channels + k, channels, 1, 2);
        }
        filters += 8 * depth;
    }
}

/* Any convolution, with zeros around x. `patches` has room for the patches of one row of y. */
void EXPORT(convolve)(const float *x, int height, int width, int channels, const float *filters, int side, int padding,
                      int stride, int dilation, float *patches, float *y, int out_height, int out_width,
                      int out_channels)
{
    for (int i = 0; i < out_height; i++) {
        float *patch = patches;
        for (int j = 0; j < out_width; j++)
            for (int a = 0; a < side; a++)
                for (int b = 0; b < side; b++, patch += channels) {
                    int row = i * stride + a * dilation - padding, column = j * stride + b * dilation - padding;
                    int is_inside = row >= 0 && row < height && column >= 0 && column < width;
                    const float *from = x + (row * width + column) * channels;
                    for (int c = 0; c < channels; c += 4)
                        wasm_v128_store(patch + c, is_inside ? wasm_v128_load(from + c) : wasm_f32x4_const_splat(0));
                }
        multiply(patches, out_width, side * side * channels, filters, y + i * out_width * out_channels, out_channels);
    }
}

/* A 3x3 filter for each channel, filters [9][channels]; the zeros around x are as wide as the dilation. `zeros` are
 * `channels` of them. */
void EXPORT(depthwise)(const float *x, int height, int width, int channels, const float *filters, int stride,
                       int dilation, const float *zeros, float *y, int out_height, int out_width)
{
    for (int i = 0; i < out_height; i++)
        for (int j = 0; j < out_width; j++, y += channels) {
            const float *from[9];
            for (int a = 0; a < 3; a++)
                for (int b = 0; b < 3; b++) {
                    int row = i * stride + (a - 1) * dilation, column = j * stride + (b - 1) * dilation;
                    int is_inside = row >= 0 && row < height && column >= 0 && column < width;
                    from[3 * a + b] = is_inside ? x + (row * width + column) * channels : zeros;
                }
            for (int c = 0; c < channels; c += 4) {
                vec sum = wasm_f32x4_const_splat(0);
                for (int t = 0; t < 9; t++)
                    sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load(from[t] + c),
                                                             wasm_v128_load(filters + t * channels + c)));
                wasm_v128_store(y + c, sum);
            }
        }
}

/* The maximum of each 2x2 pixels, a last odd row or column left out, times `signs` [channels]. */
void EXPORT(pool)(const float *x, int height, int width, int channels, const float *signs, float *y)
{
    for (int i = 0; i + 2 <= height; i += 2)
        for (int j = 0; j + 2 <= width; j += 2, y += channels) {
            const float *upper = x + (i * width + j) * channels, *lower = upper + width * channels;
            for (int c = 0; c < channels; c += 4) {
                vec above = wasm_f32x4_max(wasm_v128_load(upper + c), wasm_v128_load(upper + channels + c));
                vec below = wasm_f32x4_max(wasm_v128_load(lower + c), wasm_v128_load(lower + channels + c));
                wasm_v128_store(y + c, wasm_f32x4_mul(wasm_f32x4_max(above, below), wasm_v128_load(signs + c)));
            }
        }
}

/* e to the power of each of four numbers, which are brought to -87..87; relative error below 3e-7. The polynomial is
 * that of Cephes' expf (Moshier). */
static inline vec power(vec x)
{
    x = wasm_f32x4_min(wasm_f32x4_max(x, wasm_f32x4_const_splat(-87)), wasm_f32x4_const_splat(87));
    vec twos = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_const_splat(1.44269504f)));
    vec rest = wasm_f32x4_sub(x, wasm_f32x4_mul(twos, wasm_f32x4_const_splat(0.693359375f)));
    rest = wasm_f32x4_add(rest, wasm_f32x4_mul(twos, wasm_f32x4_const_splat(2.12194440e-4f)));
    static const float factors[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 0.5f, 1, 1};
    vec sum = wasm_f32x4_const_splat(1.9875691500e-4f);
    for (int n = 0; n < 7; n++)
        sum = wasm_f32x4_add(wasm_f32x4_mul(sum, rest), wasm_f32x4_splat(factors[n]));
    vec exponent = wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(twos), wasm_i32x4_const_splat(127));
    return wasm_f32x4_mul(sum, wasm_i32x4_shl(exponent, 23));
}

/* x = silu(x + bias), plus `shortcut` [pixels][channels] unless that is null, in place. */
void EXPORT(activate)(float *x, int pixels, int channels, const float *bias, const float *shortcut)
{
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c += 4, x += 4) {
            vec before = wasm_f32x4_add(wasm_v128_load(x), wasm_v128_load(bias + c));
            vec below = wasm_f32x4_add(wasm_f32x4_const_splat(1), power(wasm_f32x4_neg(before)));
            vec after = wasm_f32x4_div(before, below);
            if (shortcut) {
                after = wasm_f32x4_add(after, wasm_v128_load(shortcut));
                shortcut += 4;
            }
            wasm_v128_store(x, after);
        }
}

/* x = max(x, 0), in place. */
void EXPORT(rectify)(float *x, int count)
{
    for (int i = 0; i < count; i += 4)
        wasm_v128_store(x + i, wasm_f32x4_max(wasm_v128_load(x + i), wasm_f32x4_const_splat(0)));
}
