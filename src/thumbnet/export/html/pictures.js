/* Picture files as a network sees them, as thumbnet's data/images.py and Pillow make them: upright by their EXIF block,
 * on white, as stored (colour profiles ignored), large JPEG files at a half, a quarter or an eighth of their size, the
 * centre of the network's shape, resized by Pillow's bicubic resampling in its own fixed-point numbers.
 * ThumbnetPictures.read(blob, {channels, height, width}) and .fromPixels(imageData, {channels, height, width}) give
 * {pixels: Uint8Array [channels, height, width], width, height}, the latter two those of the upright picture as decoded.
 * JPEG files are decoded by jpeg.js, grey PNG files of 16 bits here (the shape's `white` is the level that becomes 255),
 * others by the browser. */
"use strict";
const ThumbnetPictures = (() => {
  const { newImage, turned, fit } = ThumbnetPixels, { clean, latin } = ThumbnetFiles;
  const MOST_PIXELS = 89478485; // as Pillow: larger pictures may be made to fill the memory
  const ROWS_AT_ONCE = 256; // a multiple of 8

  // A grey PNG file of 16 bits in 8, 255 for the level `white` and above, and for the key; null of one that the browser is left to.
  function deepGrey({ kept, size: [width, height], header, key }, { channels, white = 65535 }) {
    if (header[8] !== 16 || header[9]) return null;
    if (header[12]) {
      if (white === 65535) return null;
      throw new Refused("Interlaced PNG files of 16 bits cannot be read here: save it without interlacing.");
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
        const value = line[i] << 8 | line[i + 1];
        const level = value === key ? 255 : Math.min(Math.round(value * (255 / white)), 255);
        for (let c = 0; c < channels; c++) image.data[to++] = level;
      }
    }
    return image;
  }

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

  function finished(image, { channels, height, width }) {
    const { data } = fit(image, width, height), area = height * width, pixels = new Uint8Array(channels * area);
    for (let p = 0; p < area; p++)
      for (let c = 0; c < channels; c++) pixels[c * area + p] = data[p * channels + c];
    return pixels;
  }

  async function decode(blob) {
    try {
      return await createImageBitmap(blob, { colorSpaceConversion: "none" });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return createImageBitmap(blob); // a browser that knows no options
    }
  }

  class Refused extends Error {}

  function checkSize(width, height) {
    if (!width || !height) throw new Refused("The picture has no pixels.");
    if (width * height > MOST_PIXELS) throw new Refused("The picture has more than " + MOST_PIXELS + " pixels.");
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
    let file, image;
    try {
      file = clean(bytes);
      if (file.size) checkSize(...file.size);
      image = await readPixels(file, bytes, blob, shape);
    } catch (error) {
      if (error instanceof Refused) throw error;
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
