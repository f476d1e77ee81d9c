/* Reads what weights.py wrote: a network's blocks with their shapes, and its weights as Float32Arrays. */
"use strict";
const ThumbnetNetwork = (() => {
  const FORMAT = 1;

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
    stem.stride = stem.stride || 1;
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
    let shape = [height, width].map(side => Math.floor((side + 2 * stem.padding - stem.side) / stem.stride) + 1);
    stem.shape = shape;
    for (const block of network.blocks) {
      block.inShape = shape;
      shape = shape.map(side => Math.floor((side - 1) / block.stride) + 1);
      block.convShape = shape;
      block.outShape = shape = block.pools ? shape.map(side => side >> 1) : shape;
    }
    return network;
  }

  return { parse };
})();
