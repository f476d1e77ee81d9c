/* Picture files: their orientation, and the file without it and without colour profiles, which browsers would apply. */
"use strict";
const ThumbnetFiles = (() => {
  const COLOUR_CHUNKS = ["iCCP", "gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "eXIf"]; // of PNG

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
      if (kind === "tRNS") found.key = content[0] << 8 | content[1]; // the level that is transparent, of grey files
      if (kind === "eXIf") found.exif ??= exifOrientation(content);
      if (kind === "iTXt" && latin(content, 0, 17) === "XML:com.adobe.xmp") found.xmp = xmpOrientation(content);
      if (!COLOUR_CHUNKS.includes(kind)) kept.push(bytes.subarray(at, end));
      at = end;
    }
    return found;
  }

  function cleanWebp(bytes) {
    const view = viewOf(bytes), head = bytes.slice(0, 12), kept = [head], found = { kept, exif: null, xmp: null };
    for (let at = 12; at + 8 <= bytes.length;) {
      const length = view.getUint32(at + 4, true), end = at + 8 + length + length % 2, kind = latin(bytes, at, 4);
      const content = bytes.subarray(at + 8, at + 8 + length);
      const chunk = bytes.slice(at, end), word = n => view.getUint32(at + n, true);
      found.size ??= kind === "VP8X" ? [(word(11) >>> 8) + 1, (word(14) >>> 8) + 1]
        : kind === "VP8L" ? [(word(9) & 16383) + 1, (word(9) >> 14 & 16383) + 1]
        : kind === "VP8 " ? [word(14) & 16383, word(14) >> 16 & 16383] : null;
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

  return { clean, latin };
})();
