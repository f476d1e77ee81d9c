// Deflate (RFC 1951) undone: DecompressionStream would do it, but the browsers of 2022 and before have none.
const ThumbnetInflate = (() => {
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]; // of the code lengths' code lengths
  const fixed = () => [...Array(288).keys()].map((symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8));

  /** A canonical Huffman code: how many symbols there are of each length, and the symbols in order. */
  function codeOf(lengths) {
    const counts = new Uint16Array(16);
    for (const length of lengths) counts[length] += length > 0;
    const symbols = [...lengths.keys()].filter((symbol) => lengths[symbol] > 0);
    symbols.sort((one, other) => lengths[one] - lengths[other] || one - other);
    return { counts, symbols };
  }

  const damaged = () => new Error("damaged data");

  /** What was deflated, `size` bytes; throws where it is more, less or damaged. */
  return function inflate(bytes, size) {
    const out = new Uint8Array(size);
    let at = 0; // in bits
    let to = 0;
    const bit = () => {
      if (at >> 3 >= bytes.length) throw damaged();
      return (bytes[at >> 3] >> (at++ & 7)) & 1;
    };
    const number = (count) => {
      let value = 0;
      for (let place = 0; place < count; place++) value |= bit() << place;
      return value;
    };
    const symbolOf = ({ counts, symbols }) => {
      let code = 0;
      let first = 0;
      let index = 0;
      for (let length = 1; length < 16; length++) {
        code |= bit();
        if (code - first < counts[length]) return symbols[index + code - first];
        index += counts[length];
        first = (first + counts[length]) << 1;
        code <<= 1;
      }
      throw damaged();
    };
    const codes = () => {
      const [numLiterals, numDistances, numLengths] = [number(5) + 257, number(5) + 1, number(4) + 4];
      const lengths = new Uint8Array(19);
      for (const place of ORDER.slice(0, numLengths)) lengths[place] = number(3);
      const code = codeOf(lengths);
      const found = [];
      while (found.length < numLiterals + numDistances) {
        const symbol = symbolOf(code);
        if (symbol < 16) found.push(symbol);
        else if (symbol === 16) found.push(...Array(3 + number(2)).fill(found.at(-1)));
        else found.push(...Array(symbol === 17 ? 3 + number(3) : 11 + number(7)).fill(0));
      }
      return [codeOf(found.slice(0, numLiterals)), codeOf(found.slice(numLiterals))];
    };
    for (let isLast = 0; !isLast; ) {
      isLast = bit();
      const kind = number(2);
      if (kind === 0) {
        at = (at + 7) & ~7;
        const length = number(16);
        at += 16;
        const stored = bytes.subarray(at >> 3, (at >> 3) + length);
        out.set(stored, to);
        at += 8 * length;
        to += stored.length;
        continue;
      }
      const [literals, distances] = kind === 1 ? [codeOf(fixed()), codeOf(Array(30).fill(5))] : codes();
      for (let symbol = symbolOf(literals); symbol !== 256; symbol = symbolOf(literals)) {
        if (to >= size) throw damaged();
        if (symbol < 256) {
          out[to++] = symbol;
          continue;
        }
        const extra = symbol < 265 || symbol === 285 ? 0 : (symbol - 261) >> 2;
        const base = symbol === 285 ? 258 : symbol < 265 ? symbol - 254 : ((4 + ((symbol - 261) & 3)) << extra) + 3;
        const length = base + number(extra);
        const near = symbolOf(distances);
        const more = near < 4 ? 0 : (near >> 1) - 1;
        const distance = (near < 4 ? near + 1 : ((2 + (near & 1)) << more) + 1) + number(more);
        for (const end = to + length; to < end; to++) out[to] = out[to - distance];
      }
    }
    if (to !== size) throw damaged();
    return out;
  };
})();
