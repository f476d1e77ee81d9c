/* Runs a trained network of blocks in a browser (or in node): ThumbnetEngine.load(bytes, {wasm}) of the bytes that
 * weights.py wrote and of engine.wasm. Without WebAssembly, or without its SIMD, the same kernels run in JavaScript.
 * What is computed stands in thumbnet's models/program.py. */
"use strict";
const ThumbnetEngine = (() => {
  const padded = count => Math.ceil(count / 4) * 4;

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
      this.kernels = exports || ThumbnetKernels.inJavaScript(this.floats);
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
      kernels.convolve(x, height, width, step, places.stem, stem.side, stem.padding, stem.stride, 1, places.patches, y,
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
    return new Engine(ThumbnetNetwork.parse(bytes), await ThumbnetKernels.inWebAssembly(wasm));
  }

  return { load };
})();
