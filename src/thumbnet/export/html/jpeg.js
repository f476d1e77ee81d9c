/* JPEG files to pixels, at their size or a half, a quarter or an eighth of it, in the whole numbers of libjpeg-turbo,
 * which Pillow and most browsers use: so that a photograph gives the same pixels as in Python, to the bit.
 * ThumbnetJpeg.decode(bytes, scaleOf, channels) gives {data, width, height, channels} of rows of pixels, grey (1) or
 * RGB (3), or null where it leaves a file to the browser (arithmetic coding, 12 bits, lossless); it throws on damage.
 * Sources: ITU-T T.81; the inverse transforms of Loeffler, Ligtenberg and Moschytz (1989) as in libjpeg. */
"use strict";
globalThis.ThumbnetJpeg = (() => {
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

  function transform(part, block, o, row, column) {
    const { size, stride, plane, quant } = part;
    TRANSFORMS[size](block, o, quant, plane, row * size * stride + column * size, stride);
  }

  // ---- frames

  function readFrame(segment, isProgressive, scaleOf) {
    const height = segment[1] << 8 | segment[2], width = segment[3] << 8 | segment[4], count = segment[5];
    if (segment[0] !== 8 || ![1, 3, 4].includes(count)) return null;
    if (!width || !height || segment.length < 6 + 3 * count) throw damaged();
    const scale = scaleOf(width, height), least = 8 / scale;
    const parts = Array.from({ length: count }, (_, n) => {
      const [id, factors, table] = segment.subarray(6 + 3 * n);
      return { id, h: factors >> 4, v: factors & 15, table, quant: null };
    });
    if (count === 1) parts[0].h = parts[0].v = 1;
    if (parts.some(({ h, v }) => h < 1 || h > 4 || v < 1 || v > 4)) throw damaged();
    const most = { h: Math.max(...parts.map(part => part.h)), v: Math.max(...parts.map(part => part.v)) };
    const frame = { width, height, scale, least, most, parts, isProgressive };
    frame.across = Math.ceil(width / (8 * most.h));
    frame.down = Math.ceil(height / (8 * most.v));
    for (const part of parts) {
      const { h, v } = part;
      part.size = least; // of the pixels of a block; larger where that spares an enlargement
      while (part.size < 8 && most.h * least % (2 * h * part.size) === 0 && most.v * least % (2 * v * part.size) === 0)
        part.size *= 2;
      part.blocksAcross = Math.ceil(Math.ceil(width * h / most.h) / 8);
      part.blocksDown = Math.ceil(Math.ceil(height * v / most.v) / 8);
      part.across = frame.across * h;
      part.width = Math.ceil(width * h * part.size / (8 * most.h));
      part.height = Math.ceil(height * v * part.size / (8 * most.v));
      part.stride = part.across * part.size;
      part.plane = new Uint8Array(part.stride * frame.down * v * part.size);
      if (isProgressive) part.coefficients = new Int16Array(64 * part.across * frame.down * v);
    }
    return frame;
  }

  // A component's plane at the size of the picture: [plane, stride]. As libjpeg: smoothly for factors of 2, else repeated.
  function enlarged(part, frame, width, height) {
    const { plane, stride, h, v, size } = part, { most, least } = frame;
    const x = most.h * least / (h * size), y = most.v * least / (v * size); // how often each pixel appears
    if (x === 1 && y === 1) return [plane, stride];
    const isSmooth = least > 1 && ((x === 2 && y <= 2 && part.width > 2) || (x === 1 && y === 2));
    const result = new Uint8Array(width * height), last = part.width - 1, sums = new Int32Array(part.width);
    for (let row = 0; row < height; row++) {
      const from = Math.floor(row / y) * stride, to = row * width;
      if (!isSmooth) {
        for (let i = 0; i < width; i++) result[to + i] = plane[from + Math.floor(i / x)];
        continue;
      }
      const next = Math.min(Math.max(Math.floor(row / y) + (row % y ? 1 : -1), 0), part.height - 1) * stride;
      for (let i = 0; i <= last; i++) sums[i] = y === 1 ? plane[from + i] : 3 * plane[from + i] + plane[next + i];
      if (x === 1) {
        for (let i = 0; i < width; i++) result[to + i] = sums[i] + (row % y ? 2 : 1) >> 2;
        continue;
      }
      const shift = y === 1 ? 2 : 4, before = y === 1 ? 1 : 8, after = y === 1 ? 2 : 7;
      for (let i = 0; i < width; i++) {
        const at = i >> 1, other = i % 2 ? at + 1 : at - 1;
        const neighbour = other < 0 || other > last ? sums[at] : sums[other];
        result[to + i] = 3 * sums[at] + neighbour + (i % 2 ? after : before) >> shift;
      }
    }
    return [result, width];
  }

  function pixels(frame, isStored, channels) {
    const width = Math.ceil(frame.width / frame.scale), height = Math.ceil(frame.height / frame.scale);
    const data = new Uint8Array(width * height * channels);
    const planes = frame.parts.map(part => enlarged(part, frame, width, height));
    const isGrey = planes.length === 1;
    const [[first, firstStride], [second, secondStride], [third, thirdStride]] = isGrey ? Array(3).fill(planes[0]) : planes;
    const [black, blackStride] = planes[3] || [];
    // Of inks as files keep them (255 is none), as Pillow rounds.
    const inked = (ink, light) => {
      const product = (255 - ink) * light + 128;
      return light - ((product >> 8) + product >> 8);
    };
    for (let row = 0, to = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const a = first[row * firstStride + column];
        const b = second[row * secondStride + column], c = third[row * thirdStride + column];
        let red = a, green = b, blue = c;
        if (!isGrey && !isStored) {
          red = clamp(a + ((c - 128) * 91881 + 32768 >> 16));
          green = clamp(a + ((b - 128) * -22554 + 32768 - (c - 128) * 46802 >> 16));
          blue = clamp(a + ((b - 128) * 116130 + 32768 >> 16));
          if (black) red = 255 - red, green = 255 - green, blue = 255 - blue;
        }
        if (black) {
          const light = black[row * blackStride + column];
          red = inked(red, light), green = inked(green, light), blue = inked(blue, light);
        }
        if (channels === 1) data[to++] = red * 19595 + green * 38470 + blue * 7471 + 32768 >> 16; // luma, as Pillow
        else data[to++] = red, data[to++] = green, data[to++] = blue;
      }
    return { data, width, height, channels };
  }

  function decode(bytes, scaleOf, channels) {
    const quants = [], codes = { dc: [], ac: [] };
    let frame = null, restartInterval = 0, hasJfif = false, adobe = null;
    for (let at = 2; ;) {
      if (at + 1 >= bytes.length) throw damaged();
      if (bytes[at] !== 0xff || bytes[at + 1] === 0xff) {
        at++;
        continue;
      }
      const marker = bytes[at + 1];
      at += 2;
      if (marker === 0xd9) break; // the end
      if (marker < 2 || (marker >= 0xd0 && marker <= 0xd8)) continue;
      const length = bytes[at] << 8 | bytes[at + 1], segment = bytes.subarray(at + 2, at + length);
      if (length < 2 || at + length > bytes.length) throw damaged();
      at += length;
      const text = String.fromCharCode(...segment.subarray(0, 5));
      if (marker === 0xe0 && text === "JFIF\0") hasJfif = true;
      else if (marker === 0xee && text === "Adobe" && segment.length >= 12) adobe = segment[11];
      else if (marker === 0xdd) restartInterval = segment[0] << 8 | segment[1];
      else if (marker === 0xdb)
        for (let i = 0; i < segment.length;) {
          const quant = quants[segment[i] & 15] = new Int32Array(64), wide = segment[i++] >> 4;
          for (let k = 0; k < 64; k++, i += wide ? 2 : 1)
            quant[ZIGZAG[k]] = wide ? segment[i] << 8 | segment[i + 1] : segment[i];
        }
      else if (marker === 0xc4)
        for (let i = 0; i + 17 <= segment.length;) {
          const lengths = segment.subarray(i + 1, i + 17), count = lengths.reduce((a, b) => a + b, 0);
          codes[segment[i] >> 4 ? "ac" : "dc"][segment[i] & 15] = codeTable(lengths, segment.subarray(i + 17));
          i += 17 + count;
        }
      else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc8) {
        if (frame) throw damaged();
        frame = marker <= 0xc2 ? readFrame(segment, marker === 0xc2, scaleOf) : null;
        if (!frame) return null;
      } else if (marker === 0xda) {
        if (!frame) throw damaged();
        const members = Array.from({ length: segment[0] }, (_, n) => {
          const part = frame.parts.find(({ id }) => id === segment[1 + 2 * n]), tables = segment[2 + 2 * n];
          if (!part) throw damaged();
          part.quant ??= quants[part.table];
          if (!part.quant) throw damaged();
          return Object.assign(part, { dc: codes.dc[tables >> 4], ac: codes.ac[tables & 15] });
        });
        const [start, end, bits] = segment.subarray(1 + 2 * members.length);
        at = readScan(bytes, at, frame, members, [start, Math.min(end, 63), bits >> 4, bits & 15], restartInterval);
      }
    }
    if (!frame || frame.parts.some(part => !part.quant)) throw damaged();
    if (frame.isProgressive)
      for (const part of frame.parts)
        for (let row = 0; row < part.blocksDown; row++)
          for (let column = 0; column < part.blocksAcross; column++)
            transform(part, part.coefficients, 64 * (row * part.across + column), row, column);
    const ids = frame.parts.map(part => part.id).join();
    const isStored = frame.parts.length === 4 ? adobe !== 2 // as RGB or CMYK, not as luma and chroma
      : !hasJfif && (adobe === null ? ids === "82,71,66" : adobe === 0);
    return pixels(frame, isStored, channels);
  }

  return { decode };
})();
