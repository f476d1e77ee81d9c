/* Runs a trained network of blocks in a browser (or in node): ThumbnetEngine.load(bytes, {wasm}) of the bytes that
 * weights.py wrote and of engine.wasm. Without WebAssembly, or without its SIMD, the same kernels run in JavaScript.
 * What is computed stands in thumbnet's models/program.py. */
"use strict";
globalThis.ThumbnetEngine = (() => {
  const FORMAT = 1;
  const padded = count => Math.ceil(count / 4) * 4;

  // ---- the kernels of engine.c in JavaScript, on the floats `f`; addresses are in bytes, as there

  function javascriptKernels(f) {
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

  // ---- reading what weights.py wrote

  function halfToNumber(half) {
    const exponent = half >> 10 & 31, fraction = half & 1023, sign = half & 0x8000 ? -1 : 1;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1024 + fraction) * 2 ** (exponent - 25);
  }

  function parse(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const begin = 4 + view.getUint32(0, true);
    const network = JSON.parse(new TextDecoder().decode(bytes.subarray(4, begin)));
    if (network.format !== FORMAT) throw new Error("the weights are of format " + network.format + ", not " + FORMAT);
    const [channels, height, width] = network.shape;
    const { stem } = network;
    stem.depth = stem.side ** 2 * channels;
    let numSingles = channels + stem.channels * stem.depth + network.classes, numHalves = 0, before = stem.channels;
    for (const block of network.blocks) {
      block.inChannels = before;
      numSingles += 2 * block.channels;
      numHalves += block.channels * (block.separable ? before + 9 : 9 * before);
      before = block.channels;
    }
    numHalves += network.classes * before;
    let single = begin, half = single + 4 * numSingles;
    if (half + 2 * numHalves !== bytes.length) throw new Error("the weights are damaged");
    const singles = count => Float32Array.from({ length: count }, () => view.getFloat32((single += 4) - 4, true));
    const matrix = (rows, depth, scales) => {
      const values = new Float32Array(rows * depth);
      for (let i = 0; i < values.length; i++, half += 2)
        values[i] = halfToNumber(view.getUint16(half, true)) * (scales ? scales[Math.floor(i / depth)] : 1);
      return values;
    };
    network.mean = singles(channels);
    stem.filters = singles(stem.channels * stem.depth);
    for (const block of network.blocks) {
      const scales = singles(block.channels);
      block.bias = singles(block.channels);
      block.pointwise = block.separable ? matrix(block.channels, block.inChannels) : null;
      block.filters = matrix(block.channels, block.separable ? 9 : 9 * block.inChannels, scales);
    }
    network.head = matrix(network.classes, before, singles(network.classes));
    let shape = [height, width].map(side => side + 2 * stem.padding - stem.side + 1);
    stem.shape = shape;
    for (const block of network.blocks) {
      block.inShape = shape;
      shape = shape.map(side => Math.floor((side - 1) / block.stride) + 1);
      block.convShape = shape;
      block.outShape = shape = block.pools ? shape.map(side => side >> 1) : shape;
    }
    return network;
  }

  // Filters [channels][depth of a pixel][side * side] as engine.c takes them.
  function packed(filters, channels, inChannels, area) {
    const depth = area * padded(inChannels), all = padded(channels), values = new Float32Array(all * depth);
    for (let k = 0; k < channels; k++) {
      const block = Math.floor(k / 8) * 8, blockSize = Math.min(8, all - block);
      for (let c = 0; c < inChannels; c++)
        for (let t = 0; t < area; t++)
          values[block * depth + (t * padded(inChannels) + c) * blockSize + k - block] =
            filters[(k * inChannels + c) * area + t];
    }
    return values;
  }

  function packedDepthwise(filters, channels) {
    const all = padded(channels), values = new Float32Array(9 * all);
    for (let k = 0; k < channels; k++)
      for (let t = 0; t < 9; t++) values[t * all + k] = filters[9 * k + t];
    return values;
  }

  // ---- where what lies in memory

  function layOut(network, begin) {
    let end = Math.ceil(begin / 16) * 16;
    const constants = [];
    const room = count => (end += 4 * padded(count)) - 4 * padded(count);
    const keep = values => {
      const address = room(values.length);
      constants.push([address, values]);
      return address;
    };
    const { stem, blocks, shape: [channels, height, width] } = network;
    let largest = 0, patches = stem.side ** 2 * padded(channels) * stem.shape[1], widest = 0;
    const use = (count, [rows, columns]) => { largest = Math.max(largest, padded(count) * rows * columns); };
    const places = { stem: keep(packed(stem.filters, stem.channels, channels, stem.side ** 2)), blocks: [] };
    use(channels, [height, width]);
    use(stem.channels, stem.shape);
    for (const block of blocks) {
      const signs = new Float32Array(padded(block.channels)).fill(1);
      for (const index of block.negative) signs[index] = -1;
      const bias = new Float32Array(padded(block.channels));
      bias.set(block.bias);
      places.blocks.push({
        pointwise: block.separable ? keep(packed(block.pointwise, block.channels, block.inChannels, 1)) : 0,
        filters: keep(block.separable ? packedDepthwise(block.filters, block.channels)
          : packed(block.filters, block.channels, block.inChannels, 9)),
        bias: keep(bias),
        signs: block.pools ? keep(signs) : 0,
      });
      use(block.channels, block.separable ? block.inShape : block.convShape);
      use(block.channels, block.convShape);
      if (!block.separable) patches = Math.max(patches, 9 * padded(block.inChannels) * block.convShape[1]);
      widest = Math.max(widest, padded(block.channels));
    }
    places.zeros = keep(new Float32Array(widest));
    places.patches = room(patches);
    places.maps = [room(largest), room(largest), room(largest)];
    return { places, constants, end };
  }

  async function webAssemblyKernels(wasm) {
    if (!wasm || typeof WebAssembly !== "object" || !WebAssembly.validate(wasm)) return null;
    try {
      return (await WebAssembly.instantiate(wasm)).instance.exports;
    } catch {
      return null; // a Content-Security-Policy may forbid it
    }
  }

  // ---- running

  class Engine {
    constructor(network, exports) {
      this.kind = exports ? "wasm-simd" : "javascript";
      this.shape = network.shape;
      this.numClasses = network.classes;
      this.network = network;
      const { places, constants, end } = layOut(network, exports ? exports.__heap_base.value : 16);
      if (exports) {
        const missing = end - exports.memory.buffer.byteLength;
        if (missing > 0) exports.memory.grow(Math.ceil(missing / 65536));
      }
      this.floats = new Float32Array(exports ? exports.memory.buffer : new ArrayBuffer(end));
      this.kernels = exports || javascriptKernels(this.floats);
      this.places = places;
      for (const [address, values] of constants) this.floats.set(values, address >> 2);
    }

    /** Pixels (Uint8Array [C,H,W]) to logits, probabilities, and a function from a class to its saliency map. */
    run(pixels) {
      const { network, numClasses } = this;
      const count = network.shape.reduce((a, b) => a * b);
      if (pixels.length !== count) throw new Error("the network takes " + count + " pixels, not " + pixels.length);
      const maps = this.#maps(pixels);
      const shape = network.blocks[network.blocks.length - 1].outShape;
      const positions = shape[0] * shape[1], stride = maps.length / positions;
      const depth = network.head.length / numClasses;
      const logits = new Float32Array(numClasses);
      for (let n = 0; n < numClasses; n++) {
        let sum = 0;
        for (let p = 0; p < positions; p++)
          for (let k = 0; k < depth; k++) sum += network.head[n * depth + k] * maps[p * stride + k];
        logits[n] = sum / positions;
      }
      const highest = logits.reduce((a, b) => Math.max(a, b));
      const powers = Array.from(logits, logit => Math.exp(logit - highest));
      const total = powers.reduce((a, b) => a + b);
      const probabilities = Float32Array.from(powers, value => value / total);
      return { logits, probabilities, map: index => this.#saliency(maps, stride, shape, index) };
    }

    /** The last maps [H][W][channels, padded] of an image. */
    #maps(pixels) {
      const { kernels, floats, places, network } = this;
      const { stem, blocks, mean, shape: [channels, height, width] } = network;
      let [x, y, z] = places.maps;
      const step = padded(channels), area = height * width, first = x >> 2;
      floats.fill(0, first, first + step * area);
      for (let c = 0; c < channels; c++)
        for (let p = 0; p < area; p++) floats[first + p * step + c] = pixels[c * area + p] - mean[c];
      kernels.convolve(x, height, width, step, places.stem, stem.side, stem.padding, 1, 1, places.patches, y,
        ...stem.shape, padded(stem.channels));
      kernels.rectify(y, stem.shape[0] * stem.shape[1] * padded(stem.channels));
      [x, y] = [y, x];
      blocks.forEach((block, index) => {
        const place = places.blocks[index], wide = padded(block.channels), { inShape, convShape, outShape } = block;
        if (block.separable) {
          kernels.multiply(x, inShape[0] * inShape[1], padded(block.inChannels), place.pointwise, y, wide);
          kernels.depthwise(y, ...inShape, wide, place.filters, block.stride, block.dilation, places.zeros, z,
            ...convShape);
          [y, z] = [z, y];
        } else {
          kernels.convolve(x, ...inShape, padded(block.inChannels), place.filters, 3, block.dilation, block.stride,
            block.dilation, places.patches, y, ...convShape, wide);
        }
        if (block.pools) {
          kernels.pool(y, ...convShape, wide, place.signs, z);
          [y, z] = [z, y];
        }
        kernels.activate(y, outShape[0] * outShape[1], wide, place.bias, block.shortcut ? x : 0);
        [x, y] = [y, x];
      });
      const [rows, columns] = blocks[blocks.length - 1].outShape;
      const from = x >> 2;
      return floats.slice(from, from + rows * columns * padded(blocks[blocks.length - 1].channels));
    }

    /** Where in the image a class is seen, [H * W] from 0 to 1: its class activation map. */
    #saliency(maps, stride, [rows, columns], index) {
      const { head, shape: [, height, width] } = this.network;
      const depth = head.length / this.numClasses;
      const small = new Float64Array(rows * columns);
      for (let p = 0; p < rows * columns; p++) {
        let sum = 0;
        for (let k = 0; k < depth; k++) sum += head[index * depth + k] * maps[p * stride + k];
        small[p] = Math.max(sum, 0);
      }
      const large = new Float32Array(height * width), across = steps(columns, width);
      let highest = 0;
      steps(rows, height).forEach(([top, bottom, down], i) => across.forEach(([left, right, along], j) => {
        const at = row => small[row * columns + left] * (1 - along) + small[row * columns + right] * along;
        const value = at(top) * (1 - down) + at(bottom) * down;
        large[i * width + j] = value;
        highest = Math.max(highest, value);
      }));
      return highest > 0 ? large.map(value => value / highest) : large;
    }
  }

  // For bilinear stretching (pixels' centres aligned): for each of `to` positions the two of `from`, and the second's weight.
  function steps(from, to) {
    return Array.from({ length: to }, (_, index) => {
      const at = Math.max((index + 0.5) * from / to - 0.5, 0), first = Math.floor(at);
      return [first, Math.min(first + 1, from - 1), at - first];
    });
  }

  /** An engine of the bytes that weights.py wrote; `wasm` are engine.wasm's, without which JavaScript computes. */
  async function load(bytes, { wasm = null } = {}) {
    return new Engine(parse(bytes), await webAssemblyKernels(wasm));
  }

  return { load };
})();
