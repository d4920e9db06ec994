// Histograms of oriented gradients of a face (Dalal and Triggs, 2005): mmfer/face/hog.py.
"use strict";

const hog = (() => {
  /** A face (48, 48) -> its HOG, rounded to float16 as it is stored: mmfer.face.hog.hog, then to_half. */
  function describe(image, { orientations, cell_px: cell, block_cells: block }) {
    const cells = image.width / cell, bars = histograms(image, orientations, cell), values = [];
    for (let y = 0; y + block <= cells; y++) {
      for (let x = 0; x + block <= cells; x++) {
        const found = [];
        for (let v = y; v < y + block; v++) {
          const row = (v * cells + x) * orientations;
          found.push(...bars.subarray(row, row + block * orientations));
        }
        values.push(...normalise(Float32Array.from(found)));
      }
    }
    return Float32Array.from(values, toHalf);
  }

  /** (cells, cells, orientations): lengths of gradients, none across the border, over the pixels of a cell. */
  function histograms({ data, width: side }, orientations, cell) {
    const cells = side / cell, bars = new Float32Array(cells * cells * orientations), last = side - 1;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const at = y * side + x;
        const dy = y > 0 && y < last ? data[at + side] - data[at - side] : 0;
        const dx = x > 0 && x < last ? data[at + 1] - data[at - 1] : 0;
        const place = Math.floor(y / cell) * cells + Math.floor(x / cell);
        bars[place * orientations + bin(dy, dx, orientations)] += Math.fround(Math.sqrt(dx * dx + dy * dy));
      }
    }
    return bars.map((bar) => bar / (cell * cell));
  }

  function bin(dy, dx, orientations) {
    const degrees = Math.atan2(dy, dx) * (180 / Math.PI), angle = ((degrees % 180) + 180) % 180;
    return Math.min(Math.floor(angle / (180 / orientations)), orientations - 1);
  }

  /** L2-Hys: divide by the norm, cut at 0.2, divide again. */
  function normalise(values) {
    for (const limit of [Math.fround(0.2), Infinity]) {
      let total = Math.fround(1e-10);
      for (const value of values) total = Math.fround(total + Math.fround(value * value));
      const scale = 1 / Math.fround(Math.sqrt(total));
      for (let k = 0; k < values.length; k++) values[k] = Math.min(values[k] * scale, limit);
    }
    return values;
  }

  /** A number from 0 to 1, rounded to float16: eleven bits, fewer below 2 ** -14. */
  function toHalf(value) {
    const step = 2 ** (Math.max(Math.floor(Math.log2(value)), -14) - 10);
    return value > 0 ? cv.round(value / step) * step : 0;
  }

  return { describe };
})();
