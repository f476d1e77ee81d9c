/* Scans of JPEG files, sequential and progressive: from bits to coefficients. Source: ITU-T T.81. */
"use strict";
const ThumbnetJpegScan = (() => {
  const { ZIGZAG, damaged, transform } = ThumbnetJpegBlocks;

  // ---- Huffman codes: for each 16 bits, 256 times a code's length plus its symbol

  function codeTable(lengths, symbols) {
    const table = new Uint16Array(65536);
    for (let length = 1, at = 0, n = 0; length <= 16; length++)
      for (let k = 0; k < lengths[length - 1]; k++, n++) {
        const next = at + (1 << 16 - length);
        table.fill(length << 8 | symbols[n], at, next);
        at = next;
      }
    return table;
  }

  // ---- a scan: the coefficients of some components; returns where it ends

  function readScan(bytes, at, frame, members, [start, end, high, low], restartInterval) {
    let bits = 0, count = 0, endOfBand = 0;

    const fill = () => {
      while (count <= 24) {
        if (at >= bytes.length) throw damaged();
        let byte = bytes[at];
        if (byte !== 0xff) at++;
        else if (bytes[at + 1] === 0) at += 2;
        else byte = 0; // a marker: zeros follow the data
        bits |= byte << 24 - count;
        count += 8;
      }
    };
    const receive = length => {
      if (!length) return 0;
      if (count < length) fill();
      const value = bits >>> 32 - length;
      bits <<= length;
      count -= length;
      return value;
    };
    const signed = length => {
      const value = receive(length);
      return length && value < 1 << length - 1 ? value - (1 << length) + 1 : value;
    };
    const symbol = table => {
      if (count < 16) fill();
      const entry = table ? table[bits >>> 16] : 0;
      if (!entry) throw damaged();
      bits <<= entry >> 8;
      count -= entry >> 8;
      return entry & 255;
    };

    const sequential = (part, block, o) => {
      block[o] = part.previous += signed(symbol(part.dc));
      for (let k = 1; k < 64; k++) {
        const both = symbol(part.ac), size = both & 15;
        k += both >> 4;
        if (size && k < 64) block[o + ZIGZAG[k]] = signed(size);
        else if (both < 0xf0) break;
      }
    };
    const dcFirst = (part, block, o) => { block[o] = (part.previous += signed(symbol(part.dc))) * (1 << low); };
    const dcAgain = (part, block, o) => { block[o] |= receive(1) << low; };
    const acFirst = (part, block, o) => {
      if (endOfBand) return void endOfBand--;
      for (let k = start; k <= end; k++) {
        const both = symbol(part.ac), size = both & 15, run = both >> 4;
        if (!size && run < 15) {
          endOfBand = (1 << run) - 1 + receive(run);
          break;
        }
        k += run;
        if (size) block[o + ZIGZAG[k]] = signed(size) * (1 << low);
      }
    };
    const correct = (block, at) => {
      if (receive(1) && !(block[at] & 1 << low)) block[at] += block[at] < 0 ? -1 << low : 1 << low;
    };
    const acAgain = (part, block, o) => {
      let k = start;
      for (; !endOfBand && k <= end; k++) {
        const both = symbol(part.ac);
        let run = both >> 4, value = 0;
        if (both & 15) value = receive(1) ? 1 << low : -1 << low;
        else if (run < 15) {
          endOfBand = (1 << run) + receive(run);
          break;
        }
        for (; k <= end; k++) {
          if (block[o + ZIGZAG[k]]) correct(block, o + ZIGZAG[k]);
          else if (--run < 0) break;
        }
        if (value && k <= end) block[o + ZIGZAG[k]] = value;
      }
      if (!endOfBand) return;
      for (; k <= end; k++) if (block[o + ZIGZAG[k]]) correct(block, o + ZIGZAG[k]);
      endOfBand--;
    };
    const readBlock = !frame.isProgressive ? sequential
      : start === 0 ? (high ? dcAgain : dcFirst) : (high ? acAgain : acFirst);

    const once = new Int32Array(64);
    const block = (part, row, column) => {
      if (frame.isProgressive) return readBlock(part, part.coefficients, 64 * (row * part.across + column));
      readBlock(part, once, 0);
      transform(part, once, 0, row, column);
      once.fill(0);
    };
    const begin = () => {
      bits = count = endOfBand = 0;
      for (const part of members) part.previous = 0;
    };
    begin();
    const [only] = members, isAlone = members.length === 1;
    const across = isAlone ? only.blocksAcross : frame.across, down = isAlone ? only.blocksDown : frame.down;
    for (let unit = 0; unit < across * down; unit++) {
      if (restartInterval && unit && unit % restartInterval === 0) {
        while (at + 1 < bytes.length && !(bytes[at] === 0xff && bytes[at + 1])) at++;
        if (!(bytes[at + 1] >= 0xd0 && bytes[at + 1] <= 0xd7)) throw damaged();
        at += 2;
        begin();
      }
      const row = Math.floor(unit / across), column = unit % across;
      if (isAlone) block(only, row, column);
      else
        for (const part of members)
          for (let v = 0; v < part.v; v++)
            for (let h = 0; h < part.h; h++) block(part, row * part.v + v, column * part.h + h);
    }
    return at;
  }

  return { codeTable, readScan };
})();
