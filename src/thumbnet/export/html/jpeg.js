/* JPEG files to pixels, at their size or a half, a quarter or an eighth of it, in the whole numbers of libjpeg-turbo,
 * which Pillow and most browsers use: so that a photograph gives the same pixels as in Python, to the bit.
 * ThumbnetJpeg.decode(bytes, scaleOf, channels) gives {data, width, height, channels} of rows of pixels, grey (1) or
 * RGB (3), or null where it leaves a file to the browser (arithmetic coding, 12 bits, lossless); it throws on damage.
 * Source: ITU-T T.81. */
"use strict";
const ThumbnetJpeg = (() => {
  const { ZIGZAG, damaged, clamp, transform } = ThumbnetJpegBlocks, { codeTable, readScan } = ThumbnetJpegScan;
  const MOST_SCANS = 200; // as the server: a small file may have thousands, each of which goes over all pixels

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
    let frame = null, restartInterval = 0, hasJfif = false, adobe = null, numScans = 0;
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
        if (!frame || ++numScans > MOST_SCANS) throw damaged();
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
