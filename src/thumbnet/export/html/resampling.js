/* Pixels, {data, width, height, channels}, turned and resized in Pillow's whole numbers: ImageOps.fit, and Resample.c for
 * 8 bits. */
"use strict";
const ThumbnetPixels = (() => {
  function newImage(width, height, channels) {
    return { data: new Uint8Array(width * height * channels), width, height, channels };
  }

  function turned(image, orientation) {
    if (!(orientation >= 2 && orientation <= 8)) return image;
    const { data, width, height, channels } = image, swaps = orientation >= 5;
    const result = newImage(swaps ? height : width, swaps ? width : height, channels);
    for (let y = 0, to = 0; y < result.height; y++)
      for (let x = 0; x < result.width; x++) {
        let [column, row] = swaps ? [y, x] : [x, y];
        if ([2, 3, 7, 8].includes(orientation)) column = width - 1 - column;
        if ([3, 4, 6, 7].includes(orientation)) row = height - 1 - row;
        const from = (row * width + column) * channels;
        for (let c = 0; c < channels; c++) result.data[to++] = data[from + c];
      }
    return result;
  }

  function bicubic(x) {
    const a = -0.5;
    x = Math.abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  }

  // For each of `size` output positions: the first input position, and the whole-number weights (of 2 ** 22).
  function weightsOf(inputSize, begin, end, size) {
    const scale = Math.fround(end - begin) / size, stretch = Math.max(scale, 1), support = 2 * stretch;
    return Array.from({ length: size }, (_, index) => {
      const centre = begin + (index + 0.5) * scale;
      const first = Math.max(Math.trunc(centre - support + 0.5), 0);
      const count = Math.min(Math.trunc(centre + support + 0.5), inputSize) - first;
      const weights = Array.from({ length: count }, (_, x) => bicubic((x + first - centre + 0.5) * (1 / stretch)));
      const total = weights.reduce((a, b) => a + b, 0) || 1;
      return [first, weights.map(weight => {
        const part = weight / total * 4194304;
        return Math.trunc(part < 0 ? part - 0.5 : part + 0.5);
      })];
    });
  }

  // Along one axis: `lines` lines, from one to the next `lineStep` bytes in the input and `toLineStep` in the output.
  function resampleLines(from, to, weights, lines, lineStep, step, toLineStep, toStep, channels) {
    for (let line = 0; line < lines; line++)
      weights.forEach(([first, factors], index) => {
        for (let c = 0; c < channels; c++) {
          let sum = 2097152, at = line * lineStep + first * step + c;
          for (let n = 0; n < factors.length; n++, at += step) sum += from[at] * factors[n];
          to[line * toLineStep + index * toStep + c] = Math.min(Math.max(sum >> 22, 0), 255);
        }
      });
  }

  /** The centre of the shape's proportions, resized to it. */
  function fit(image, width, height) {
    const { channels } = image, ratio = image.width / image.height, wanted = width / height;
    let cropWidth = image.width, cropHeight = image.height;
    if (ratio > wanted) cropWidth = wanted * image.height;
    else if (ratio < wanted) cropHeight = image.width / wanted;
    const left = (image.width - cropWidth) * 0.5, top = (image.height - cropHeight) * 0.5;
    const box = [left, top, left + cropWidth, top + cropHeight].map(Math.fround);
    let result = image;
    const along = () => {
      if (width === image.width && box[0] === 0 && box[2] === width) return;
      const { data, height: lines } = result;
      result = newImage(width, lines, channels);
      resampleLines(data, result.data, weightsOf(image.width, box[0], box[2], width), lines, image.width * channels,
        channels, width * channels, channels, channels);
    };
    const down = () => {
      if (height === image.height && box[1] === 0 && box[3] === height) return;
      const { data, width: lines } = result, step = lines * channels;
      result = newImage(lines, height, channels);
      resampleLines(data, result.data, weightsOf(image.height, box[1], box[3], height), lines, channels, step, channels,
        step, channels);
    };
    const fewer = image.height - height; // rows; Pillow begins with them since its version 13 if they are many
    const passes = fewer > 0 && fewer > 2 * (image.width - width) ? [down, along] : [along, down];
    passes.forEach(pass => pass());
    return result;
  }

  return { newImage, turned, fit };
})();
