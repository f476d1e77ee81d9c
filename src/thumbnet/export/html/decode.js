// Bytes from text: base 85 for weights, base 64 for pictures.
const ThumbnetBytes = (() => {
  const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
  const digits = new Uint8Array(128);
  [...LETTERS].forEach((letter, digit) => (digits[letter.charCodeAt(0)] = digit));

  /** Five letters for four bytes, the highest digit first, as page.py wrote them. */
  function from85(text) {
    const bytes = new Uint8Array(4 * Math.ceil(text.length / 5));
    const view = new DataView(bytes.buffer);
    for (let at = 0, to = 0; at < text.length; at += 5, to += 4) {
      let number = 0;
      for (let next = at; next < at + 5; next++) {
        number = 85 * number + (next < text.length ? digits[text.charCodeAt(next)] : 84);
      }
      view.setUint32(to, number);
    }
    return bytes.slice(0, Math.floor((4 * text.length) / 5));
  }

  /** What page.py packed: `size` bytes, deflated, in base 85. */
  const unpacked = (text, size) => ThumbnetInflate(from85(text), size);

  /** Bytes of two planes, the second bytes' first, one after the other again. */
  function fromPlanes(planes) {
    const half = planes.length / 2;
    return Uint8Array.from(planes, (_, index) => planes[(index >> 1) + (index & 1 ? 0 : half)]);
  }

  const from64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return { from64, unpacked, fromPlanes };
})();
