/* Blocks of JPEG files: from coefficients to pixels, in the whole numbers of libjpeg-turbo.
 * Source: the inverse transforms of Loeffler, Ligtenberg and Moschytz (1989) as in libjpeg. */
"use strict";
const ThumbnetJpegBlocks = (() => {
  const ZIGZAG = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55,
    62, 63];
  const damaged = () => new Error("the JPEG file is damaged or ends too early");
  const clamp = value => value < 0 ? 0 : value > 255 ? 255 : value;

  // ---- inverse transforms of a block to 8x8, 4x4, 2x2 or 1 pixels; numbers are multiples of 2 ** -13

  const work = new Int32Array(64);

  function to8(block, o, quant, out, to, stride) {
    for (let pass = 0; pass < 2; pass++) {
      const step = pass ? 1 : 8, line = pass ? 8 : 1, shift = pass ? 18 : 11, half = 1 << shift - 1;
      for (let n = 0; n < 8; n++) {
        const at = n * line;
        const get = pass ? k => work[at + k] : k => block[o + at + 8 * k] * quant[at + 8 * k];
        let z1 = (get(2) + get(6)) * 4433;
        const even2 = z1 - get(6) * 15137, even3 = z1 + get(2) * 6270;
        const even0 = (get(0) + get(4)) * 8192, even1 = (get(0) - get(4)) * 8192;
        const a = get(7), b = get(5), c = get(3), d = get(1), z5 = (a + c + b + d) * 9633;
        z1 = (a + d) * -7373;
        const z2 = (b + c) * -20995, z3 = (a + c) * -16069 + z5, z4 = (b + d) * -3196 + z5;
        const odd = [d * 12299 + z1 + z4, c * 25172 + z2 + z3, b * 16819 + z2 + z4, a * 2446 + z1 + z3];
        const even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];
        for (let k = 0; k < 4; k++) {
          const first = even[k] + odd[k] + half >> shift, last = even[k] - odd[k] + half >> shift;
          if (pass) out[to + n * stride + k] = clamp(first + 128), out[to + n * stride + 7 - k] = clamp(last + 128);
          else work[at + k * step] = first, work[at + (7 - k) * step] = last;
        }
      }
    }
  }

  function to4(block, o, quant, out, to, stride) {
    for (let pass = 0; pass < 2; pass++) {
      const shift = pass ? 19 : 12, half = 1 << shift - 1;
      for (let n = 0; n < (pass ? 4 : 8); n++) {
        if (!pass && n === 4) continue; // its part in the means of two pixels is none
        const get = pass ? k => work[8 * n + k] : k => block[o + n + 8 * k] * quant[n + 8 * k];
        const a = get(7), b = get(5), c = get(3), d = get(1);
        const sum = get(0) * 16384, part = get(2) * 15137 - get(6) * 6270;
        const odd = [a * -4176 - b * 4926 + c * 7373 + d * 20995, a * -1730 + b * 11893 - c * 17799 + d * 8697];
        const even = [sum + part, sum - part];
        for (let k = 0; k < 2; k++) {
          const first = even[k] + odd[k] + half >> shift, last = even[k] - odd[k] + half >> shift;
          if (pass) out[to + n * stride + k] = clamp(first + 128), out[to + n * stride + 3 - k] = clamp(last + 128);
          else work[8 * k + n] = first, work[8 * (3 - k) + n] = last;
        }
      }
    }
  }

  function to2(block, o, quant, out, to, stride) {
    for (let pass = 0; pass < 2; pass++) {
      const shift = pass ? 20 : 13, half = 1 << shift - 1;
      for (let n = 0; n < (pass ? 2 : 8); n++) {
        if (!pass && n > 0 && n % 2 === 0) continue;
        const get = pass ? k => work[8 * n + k] : k => block[o + n + 8 * k] * quant[n + 8 * k];
        const even = get(0) * 32768, odd = get(7) * -5906 + get(5) * 6967 - get(3) * 10426 + get(1) * 29692;
        const first = even + odd + half >> shift, last = even - odd + half >> shift;
        if (pass) out[to + n * stride] = clamp(first + 128), out[to + n * stride + 1] = clamp(last + 128);
        else work[n] = first, work[8 + n] = last;
      }
    }
  }

  function to1(block, o, quant, out, to) {
    out[to] = clamp((block[o] * quant[0] + 4 >> 3) + 128);
  }

  const TRANSFORMS = { 8: to8, 4: to4, 2: to2, 1: to1 };

  /** A block's coefficients from `o` on to pixels of the component `part`. */
  function transform(part, block, o, row, column) {
    const { size, stride, plane, quant } = part;
    TRANSFORMS[size](block, o, quant, plane, row * size * stride + column * size, stride);
  }

  return { ZIGZAG, damaged, clamp, transform };
})();
