// The data of the models, which come as scripts: a page that was opened from disk may load nothing else.
"use strict";

const parts = (() => {
  const TYPES = { F32: Float32Array, U16: Uint16Array, U8: Uint8Array };
  const texts = new Map();

  /** What each script of data calls, in order: a piece of a part, in base64. */
  function add(name, text) {
    texts.set(name, [...(texts.get(name) ?? []), text]);
  }

  /** The bytes of a part, unpacked; its text is let go. */
  async function bytes(name) {
    const pieces = texts.get(name).map((text) => {
      const letters = atob(text), piece = new Uint8Array(letters.length);
      for (let k = 0; k < piece.length; k++) piece[k] = letters.charCodeAt(k);
      return piece;
    });
    texts.delete(name);
    return new Response(new Blob(pieces).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  /** Arrays, each with its `shape`, by their names, of a part in the format of safetensors. */
  async function arrays(name) {
    const buffer = await bytes(name), length = Number(new DataView(buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    return Object.fromEntries(Object.entries(header).map(([key, { dtype, shape, data_offsets: [start, end] }]) => {
      const content = buffer.slice(8 + length + start, 8 + length + end);
      const values = dtype === "F16" ? halves(new Uint16Array(content)) : new TYPES[dtype](content);
      return [key, Object.assign(values, { shape })];
    }));
  }

  /** Float16 numbers, given by their bits, as float32. */
  function halves(bits) {
    const table = Float32Array.from({ length: 65536 }, (_, k) => {
      const sign = k >> 15 ? -1 : 1, exponent = (k >> 10) & 31, fraction = k & 1023;
      return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
    });
    const values = new Float32Array(bits.length);
    for (let k = 0; k < bits.length; k++) values[k] = table[bits[k]];
    return values;
  }

  return { add, bytes, arrays };
})();
