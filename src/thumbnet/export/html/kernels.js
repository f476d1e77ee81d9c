/* The kernels that engine.js calls: those of engine.c in WebAssembly, or the same in JavaScript. */
"use strict";
const ThumbnetKernels = (() => {
  /** On the floats `f`; addresses are in bytes, as in engine.c. */
  function inJavaScript(f) {
    const multiply = (x, pixels, depth, filters, y, channels) => {
      x >>= 2, filters >>= 2, y >>= 2;
      for (let k = 0; k < channels; k += 8) {
        const block = Math.min(8, channels - k);
        for (let half = 0; half < block; half += 4) {
          const last = filters + depth * block;
          for (let p = 0; p < pixels; p += 2) { // a last odd one is computed twice
            let one = x + p * depth, two = p + 1 < pixels ? one + depth : one;
            let a = 0, b = 0, c = 0, d = 0, e = 0, g = 0, h = 0, i = 0;
            for (let w = filters + half; w < last; w += block) {
              const first = f[one++], second = f[two++];
              a += first * f[w], b += first * f[w + 1], c += first * f[w + 2], d += first * f[w + 3];
              e += second * f[w], g += second * f[w + 1], h += second * f[w + 2], i += second * f[w + 3];
            }
            const to = y + p * channels + k + half;
            f[to] = a, f[to + 1] = b, f[to + 2] = c, f[to + 3] = d;
            if (p + 1 < pixels) {
              const next = to + channels;
              f[next] = e, f[next + 1] = g, f[next + 2] = h, f[next + 3] = i;
            }
          }
        }
        filters += 8 * depth;
      }
    };
    const convolve = (x, height, width, channels, filters, side, padding, stride, dilation, patches, y, outHeight,
                      outWidth, outChannels) => {
      for (let i = 0; i < outHeight; i++) {
        let to = patches >> 2;
        for (let j = 0; j < outWidth; j++)
          for (let a = 0; a < side; a++)
            for (let b = 0; b < side; b++, to += channels) {
              const row = i * stride + a * dilation - padding, column = j * stride + b * dilation - padding;
              const from = (x >> 2) + (row * width + column) * channels;
              if (row < 0 || row >= height || column < 0 || column >= width) f.fill(0, to, to + channels);
              else for (let c = 0; c < channels; c++) f[to + c] = f[from + c];
            }
        multiply(patches, outWidth, side * side * channels, filters, y + 4 * i * outWidth * outChannels, outChannels);
      }
    };
    const depthwise = (x, height, width, channels, filters, stride, dilation, _zeros, y, outHeight, outWidth) => {
      const from = new Int32Array(9), factors = new Int32Array(9);
      let to = y >> 2;
      for (let i = 0; i < outHeight; i++)
        for (let j = 0; j < outWidth; j++, to += channels) {
          let taps = 0;
          for (let tap = 0; tap < 9; tap++) {
            const row = i * stride + (Math.floor(tap / 3) - 1) * dilation;
            const column = j * stride + (tap % 3 - 1) * dilation;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            from[taps] = (x >> 2) + (row * width + column) * channels;
            factors[taps++] = (filters >> 2) + tap * channels;
          }
          for (let c = 0; c < channels; c++) {
            let sum = 0;
            for (let tap = 0; tap < taps; tap++) sum += f[from[tap] + c] * f[factors[tap] + c];
            f[to + c] = sum;
          }
        }
    };
    const pool = (x, height, width, channels, signs, y) => {
      let to = y >> 2;
      for (let i = 0; i + 2 <= height; i += 2)
        for (let j = 0; j + 2 <= width; j += 2)
          for (let c = 0; c < channels; c++, to++) {
            const upper = (x >> 2) + (i * width + j) * channels + c, lower = upper + width * channels;
            const highest = Math.max(f[upper], f[upper + channels], f[lower], f[lower + channels]);
            f[to] = highest * f[(signs >> 2) + c];
          }
    };
    const activate = (x, pixels, channels, bias, shortcut) => {
      for (let p = 0, at = x >> 2, add = shortcut >> 2; p < pixels; p++)
        for (let c = 0; c < channels; c++, at++, add++) {
          const before = f[at] + f[(bias >> 2) + c];
          f[at] = before / (1 + Math.exp(-before)) + (shortcut ? f[add] : 0);
        }
    };
    const rectify = (x, count) => {
      for (let i = x >> 2; i < (x >> 2) + count; i++) f[i] = Math.max(f[i], 0);
    };
    return { multiply, convolve, depthwise, pool, activate, rectify };
  }

  /** Those of engine.wasm; null where the browser has no WebAssembly with SIMD, or forbids it. */
  async function inWebAssembly(wasm) {
    if (!wasm || typeof WebAssembly !== "object" || !WebAssembly.validate(wasm)) return null;
    try {
      return (await WebAssembly.instantiate(wasm)).instance.exports;
    } catch {
      return null; // a Content-Security-Policy may forbid it
    }
  }

  return { inJavaScript, inWebAssembly };
})();
