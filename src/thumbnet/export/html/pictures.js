/* Picture files as a network sees them, as thumbnet's data/images.py and Pillow make them: upright by their EXIF block,
 * on white, as stored (colour profiles ignored), large JPEG files at a half, a quarter or an eighth of their size, the
 * centre of the network's shape, resized by Pillow's bicubic resampling in its own fixed-point numbers.
 * ThumbnetPictures.read(blob, {channels, height, width}) and .fromPixels(imageData, {channels, height, width}) give
 * {pixels: Uint8Array [channels, height, width], width, height}, the latter two those of the upright picture as decoded.
 * JPEG files are decoded by jpeg.js, grey PNG files of 16 bits here (the shape's `white` is the level that becomes 255),
 * others by the browser. */
"use strict";
globalThis.ThumbnetPictures = (() => {
  const MOST_PIXELS = 89478485; // as Pillow: larger pictures may be made to fill the memory
  const ROWS_AT_ONCE = 256; // a multiple of 8
  const COLOUR_CHUNKS = ["iCCP", "gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "eXIf"]; // of PNG

  // ---- files: their orientation, and the file without it and without colour profiles, which browsers would apply

  const latin = (bytes, from, count) => String.fromCharCode(...bytes.subarray(from, from + count));
  const viewOf = bytes => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

  function exifOrientation(bytes) {
    try {
      const tiff = latin(bytes, 0, 6) === "Exif\0\0" ? bytes.subarray(6) : bytes, view = viewOf(tiff);
      const little = latin(tiff, 0, 2) === "II";
      if (!little && latin(tiff, 0, 2) !== "MM") return null;
      const begin = view.getUint32(4, little);
      for (let n = 0, at = begin + 2; n < view.getUint16(begin, little); n++, at += 12) {
        if (view.getUint16(at, little) !== 0x0112) continue;
        const type = view.getUint16(at + 2, little);
        return type === 3 ? view.getUint16(at + 8, little) : type === 4 ? view.getUint32(at + 8, little) : null;
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // a block that ends too early is none
    }
    return null;
  }

  function xmpOrientation(bytes) {
    const found = new RegExp('tiff:Orientation(?:="|>)([0-9])').exec(new TextDecoder().decode(bytes));
    return found ? Number(found[1]) : null;
  }

  function cleanJpeg(bytes) {
    const view = viewOf(bytes), kept = [bytes.subarray(0, 2)];
    const found = { kept, exif: null, xmp: null, size: null };
    let at = 2;
    while (at + 4 <= bytes.length && bytes[at] === 0xff) {
      const marker = bytes[at + 1];
      if (marker === 0xda) break; // the picture's data follow
      if (marker === 0xff || marker === 1 || (marker >= 0xd0 && marker <= 0xd7)) {
        at += marker === 0xff ? 1 : 2;
        continue;
      }
      const end = at + 2 + view.getUint16(at + 2), content = bytes.subarray(at + 4, end);
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && content.length > 5)
        found.size = [viewOf(content).getUint16(3), viewOf(content).getUint16(1)];
      if (marker === 0xe1 && latin(content, 0, 6) === "Exif\0\0") found.exif ??= exifOrientation(content);
      if (marker === 0xe1 && latin(content, 0, 28) === "http://ns.adobe.com/xap/1.0/")
        found.xmp = xmpOrientation(content);
      if (marker !== 0xe1 && marker !== 0xe2) kept.push(bytes.subarray(at, end));
      at = end;
    }
    kept.push(bytes.subarray(at));
    return found;
  }

  function cleanPng(bytes) {
    const view = viewOf(bytes), kept = [bytes.subarray(0, 8)], found = { kept, exif: null, xmp: null, size: null };
    for (let at = 8; at + 12 <= bytes.length;) {
      const end = at + 12 + view.getUint32(at), kind = latin(bytes, at + 4, 4);
      const content = bytes.subarray(at + 8, end - 4);
      if (kind === "IHDR") found.header = content, found.size = [view.getUint32(16), view.getUint32(20)];
      if (kind === "tRNS") found.isKeyed = true;
      if (kind === "eXIf") found.exif ??= exifOrientation(content);
      if (kind === "iTXt" && latin(content, 0, 17) === "XML:com.adobe.xmp") found.xmp = xmpOrientation(content);
      if (!COLOUR_CHUNKS.includes(kind)) kept.push(bytes.subarray(at, end));
      at = end;
    }
    return found;
  }

  // A grey PNG file of 16 bits in 8, 255 for the level `white` and above; null of one that the browser is left to.
  function deepGrey({ kept, size: [width, height], header, isKeyed }, { channels, white = 65535 }) {
    if (header[8] !== 16 || header[9] !== 0 || header[12] !== 0 || isKeyed) {
      if (header[8] === 16 && header[9] === 0 && white !== 65535) throw new Error("an unusual PNG file of 16 bits");
      return null;
    }
    const parts = kept.filter(part => latin(part, 4, 4) === "IDAT").map(part => part.subarray(8, -4));
    const packed = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (packed.set(part, at), at + part.length), 0);
    const step = 2 * width, rows = ThumbnetInflate(packed.subarray(2), height * (step + 1));
    const image = newImage(width, height, channels), empty = new Uint8Array(step);
    for (let row = 0, at = 0, to = 0, above = empty, line; row < height; row++, above = line) {
      const filter = rows[at++];
      line = rows.subarray(at, at += step);
      for (let i = 0; i < step; i++) {
        const a = i < 2 ? 0 : line[i - 2], b = above[i], c = i < 2 ? 0 : above[i - 2];
        const x = Math.abs(b - c), y = Math.abs(a - c), z = Math.abs(a + b - 2 * c);
        line[i] += [0, a, b, a + b >> 1, x <= y && x <= z ? a : y <= z ? b : c][filter];
      }
      for (let i = 0; i < step; i += 2) {
        const level = Math.min(Math.round((line[i] << 8 | line[i + 1]) * (255 / white)), 255);
        for (let c = 0; c < channels; c++) image.data[to++] = level;
      }
    }
    return image;
  }

  function cleanWebp(bytes) {
    const view = viewOf(bytes), head = bytes.slice(0, 12), kept = [head], found = { kept, exif: null, xmp: null };
    for (let at = 12; at + 8 <= bytes.length;) {
      const length = view.getUint32(at + 4, true), end = at + 8 + length + length % 2, kind = latin(bytes, at, 4);
      const content = bytes.subarray(at + 8, at + 8 + length);
      const chunk = bytes.slice(at, end);
      if (kind === "EXIF") found.exif ??= exifOrientation(content);
      if (kind === "XMP ") found.xmp = xmpOrientation(content);
      if (kind === "VP8X") chunk[8] &= ~0x2c; // it has no profile, EXIF block and XMP block any more
      if (!["EXIF", "XMP ", "ICCP"].includes(kind)) kept.push(chunk);
      at = end;
    }
    viewOf(head).setUint32(4, kept.reduce((sum, part) => sum + part.length, 0) - 8, true);
    return found;
  }

  function clean(bytes) {
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return { ...cleanJpeg(bytes), type: "image/jpeg" };
    if (latin(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return { ...cleanPng(bytes), type: "image/png" };
    if (latin(bytes, 0, 4) === "RIFF" && latin(bytes, 8, 4) === "WEBP") return { ...cleanWebp(bytes), type: "image/webp" };
    return { kept: [bytes], exif: null, xmp: null, size: null, type: "" }; // the browser turns the others
  }

  // ---- pixels: {data, width, height, channels}, rows of pixels of 1 or 3 bytes

  // The scale that Pillow decodes a JPEG file at, for a side of at least twice the network's.
  function draftScale(width, height, shape) {
    const side = 2 * Math.max(shape.height, shape.width);
    const scale = Math.min(Math.floor(width / side), Math.floor(height / side));
    return [8, 4, 2, 1].find(known => scale >= known) || 1;
  }

  // `count` rows of RGBA from row `top` of a picture into `image`; blocks of scale x scale become their mean, as in
  // libjpeg's small inverse transforms. A block that the border cuts is continued by its last pixels.
  function addRows(image, rgba, top, count, fullWidth, scale) {
    const { data, width, channels } = image;
    for (let row = 0; row * scale < count; row++)
      for (let column = 0, to = (top / scale + row) * width * channels; column < width; column++) {
        let red = 0, green = 0, blue = 0;
        for (let a = 0; a < scale; a++)
          for (let b = 0; b < scale; b++) {
            const y = Math.min(row * scale + a, count - 1), x = Math.min(column * scale + b, fullWidth - 1);
            let at = 4 * (y * fullWidth + x), alpha = rgba[at + 3];
            if (alpha === 255) red += rgba[at], green += rgba[at + 1], blue += rgba[at + 2];
            else {
              const onWhite = value => Math.round((value * alpha + 255 * (255 - alpha)) / 255);
              red += onWhite(rgba[at]), green += onWhite(rgba[at + 1]), blue += onWhite(rgba[at + 2]);
            }
          }
        if (scale > 1) {
          const area = scale * scale;
          red = Math.round(red / area), green = Math.round(green / area), blue = Math.round(blue / area);
        }
        if (channels === 1) data[to++] = red * 19595 + green * 38470 + blue * 7471 + 0x8000 >> 16; // ITU-R 601
        else data[to++] = red, data[to++] = green, data[to++] = blue;
      }
  }

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

  // ---- Pillow's resampling: ImageOps.fit, and Resample.c for 8 bits

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

  function finished(image, { channels, height, width }) {
    const { data } = fit(image, width, height), area = height * width, pixels = new Uint8Array(channels * area);
    for (let p = 0; p < area; p++)
      for (let c = 0; c < channels; c++) pixels[c * area + p] = data[p * channels + c];
    return pixels;
  }

  // ---- what a page calls

  async function decode(blob) {
    try {
      return await createImageBitmap(blob, { colorSpaceConversion: "none" });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return createImageBitmap(blob); // a browser that knows no options
    }
  }

  class TooLarge extends Error {}

  function checkSize(width, height) {
    if (width * height > MOST_PIXELS) throw new TooLarge("The picture has more than " + MOST_PIXELS + " pixels.");
  }

  // A file's pixels, not turned yet; by jpeg.js where that can, else by the browser.
  async function readPixels(file, bytes, blob, shape) {
    const scaleOf = (width, height) => {
      checkSize(width, height);
      return draftScale(width, height, shape);
    };
    if (file.type === "image/jpeg") {
      const image = ThumbnetJpeg.decode(bytes, scaleOf, shape.channels);
      if (image) return image;
    }
    const deep = file.header && deepGrey(file, shape);
    if (deep) return deep;
    const bitmap = await decode(new Blob(file.kept, { type: file.type || blob.type }));
    try {
      const { width, height } = bitmap;
      checkSize(width, height);
      const scale = file.type === "image/jpeg" ? scaleOf(width, height) : 1;
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = Math.min(height, ROWS_AT_ONCE);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      const image = newImage(Math.ceil(width / scale), Math.ceil(height / scale), shape.channels);
      for (let top = 0; top < height; top += ROWS_AT_ONCE) {
        const count = Math.min(ROWS_AT_ONCE, height - top);
        context.fillStyle = "#fff";
        context.fillRect(0, 0, width, count);
        context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
        addRows(image, context.getImageData(0, 0, width, count).data, top, count, width, scale);
      }
      canvas.width = canvas.height = 0; // phones free its memory only then
      return image;
    } finally {
      bitmap.close();
    }
  }

  async function read(blob, shape) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (!bytes.length) throw new Error("The file is empty.");
    const file = clean(bytes);
    if (file.size) checkSize(...file.size);
    let image;
    try {
      image = await readPixels(file, bytes, blob, shape);
    } catch (error) {
      if (error instanceof TooLarge) throw error;
      throw new Error("This is no picture that the browser can read, or it is damaged.", { cause: error });
    }
    image = turned(image, file.exif ?? file.xmp);
    return { pixels: finished(image, shape), width: image.width, height: image.height };
  }

  /** Of RGBA pixels, such as a canvas's ImageData of a camera's frame. */
  function fromPixels({ data, width, height }, shape) {
    const image = newImage(width, height, shape.channels);
    addRows(image, data, 0, height, width, 1);
    return { pixels: finished(image, shape), width, height };
  }

  return { read, fromPixels };
})();
