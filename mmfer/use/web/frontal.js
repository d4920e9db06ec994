// dlib's frontal face detector: mmfer calls dlib itself. A window of 10 x 10 cells slides over histograms of gradients
// (Felzenszwalb et al., 2010) of the picture and of ever smaller ones; five linear models look for five poses.
"use strict";

const frontal = (() => {
  const CELL = 8, WINDOW = 10, PLANES = 31, LEAST_PX = 64; // of the smallest picture
  const BEFORE = 5, MARGIN = 4; // cells of the window before its centre; empty cells on the upper left of a picture
  const COS = Float32Array.of(1, 0.9397, 0.766, 0.5, 0.1736, -0.1736, -0.5, -0.766, -0.9397); // of nine directions
  const SIN = Float32Array.of(0, 0.342, 0.6428, 0.866, 0.9848, 0.9848, 0.866, 0.6428, 0.342);

  /** A grey picture -> { box, score } of its surest face (left, top, right, bottom, inclusive); null below the least. */
  function findBox(image, model, least) {
    let best = null;
    for (let level = 0; ; level++) {
      const cells = fhog(image);
      for (let k = 0; k < model.thresholds.length; k++) {
        for (const { score, x, y } of slide(cells, model, k)) {
          if (score >= least && (best === null || score > best.score)) best = { score, box: window(x, y, level) };
        }
      }
      const smaller = pyramidDown(image);
      if (Math.min(smaller.width, smaller.height) < LEAST_PX) return best;
      image = smaller;
    }
  }

  /** Scores of model k at all places of the window. */
  function* slide({ values, width, height }, { filters, thresholds }, k) {
    const size = WINDOW * WINDOW, kernel = filters.subarray(k * PLANES * size, (k + 1) * PLANES * size);
    for (let y = 0; y + WINDOW <= height; y++) {
      for (let x = 0; x + WINDOW <= width; x++) {
        let sum = 0;
        for (let plane = 0; plane < PLANES; plane++) {
          for (let v = 0; v < WINDOW; v++) {
            const from = (plane * height + y + v) * width + x, at = plane * size + v * WINDOW;
            for (let u = 0; u < WINDOW; u++) sum += values[from + u] * kernel[at + u];
          }
        }
        yield { score: sum - thresholds[k], x: x + BEFORE, y: y + BEFORE };
      }
    }
  }

  /** The window around cell x, y of a level of the pyramid, in pixels of the picture. */
  function window(x, y, level) {
    return [x - BEFORE, y - BEFORE, x - BEFORE + WINDOW - 1, y - BEFORE + WINDOW - 1].map((cell) => {
      const start = (cell + 1 - MARGIN) * CELL + 1;
      let edge = start + (start < 0 ? -CELL / 2 : CELL / 2);
      for (let i = 0; i < level; i++) edge = edge * (6 / 5) + 0.3;
      return Math.sign(edge) * Math.round(Math.abs(edge)); // C's lround
    });
  }

  /** A picture with sides of five sixths. Of each row the last pixels are cut off, not rounded, as in dlib. */
  function pyramidDown(image) {
    const width = Math.round(Math.floor((5 * image.width) / 6)), height = Math.round(Math.floor((5 * image.height) / 6));
    const data = new Uint8Array(width * height), f = Math.fround;
    const stepX = (image.width - 1) / Math.max(width - 1, 1), stepY = (image.height - 1) / Math.max(height - 1, 1);
    const places = [];
    let four = [-4, -3, -2, -1].map((k) => f(k * stepX));
    for (;;) {
      four = four.map((place) => f(place + f(4 * stepX)));
      if (Math.trunc(four[3]) + 1 >= image.width) break;
      places.push(...four);
    }
    const rounded = places.length;
    for (let x = rounded; x < width; x++) places.push(x * stepX);
    for (let y = 0, v = 0; y < height; y++, v += stepY) {
      const top = Math.min(Math.floor(v), image.height - 1), bottom = Math.min(top + 1, image.height - 1);
      for (let x = 0; x < width; x++) {
        const left = Math.min(Math.floor(places[x]), image.width - 1), right = Math.min(left + 1, image.width - 1);
        const du = places[x] - left, dv = v - top;
        const at = (row, column) => image.data[row * image.width + column];
        const upper = (1 - du) * at(top, left) + du * at(top, right);
        const lower = (1 - du) * at(bottom, left) + du * at(bottom, right);
        data[y * width + x] = Math.floor(f((1 - dv) * upper + dv * lower) + (x < rounded ? 0.5 : 0));
      }
    }
    return { data, width, height };
  }

  /** Histograms of gradients: { values: planes (31, height, width), width, height }, with empty cells around them. */
  function fhog(image) {
    const columns = Math.floor(image.width / CELL + 0.5), rows = Math.floor(image.height / CELL + 0.5);
    const bars = histograms(image, columns, rows), norms = new Float32Array(rows * columns);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const at = ((y + 1) * (columns + 2) + x + 1) * 18;
        for (let o = 0; o < 9; o++) norms[y * columns + x] += (bars[at + o] + bars[at + o + 9]) ** 2;
      }
    }
    const width = columns - 2 + WINDOW - 1, height = rows - 2 + WINDOW - 1;
    const values = new Float32Array(PLANES * height * width);
    for (let y = 1; y < rows - 1; y++) {
      for (let x = 1; x < columns - 1; x++) {
        const at = ((y + 1) * (columns + 2) + x + 1) * 18, place = (y - 1 + MARGIN) * width + x - 1 + MARGIN;
        describe(bars.subarray(at, at + 18), blockNorms(norms, columns, x, y)).forEach((value, plane) => {
          values[plane * height * width + place] = value;
        });
      }
    }
    return { values, width, height };
  }

  /** Norms of the four blocks of four cells that share cell x, y. */
  function blockNorms(norms, columns, x, y) {
    return [[y, x], [y - 1, x], [y, x - 1], [y - 1, x - 1]].map(([top, left]) => {
      const at = top * columns + left;
      return Math.sqrt(norms[at] + norms[at + 1] + norms[at + columns] + norms[at + columns + 1] + 1e-4);
    });
  }

  /** The 31 values of a cell: 18 directions, 9 without their sign, and how much there is in each block. */
  function describe(bars, norms) {
    const values = new Float32Array(PLANES);
    norms.forEach((norm, block) => {
      const share = (bar) => Math.min(bar / norm, 0.2) / 2;
      for (let o = 0; o < 18; o++) {
        values[o] += share(bars[o]);
        values[27 + block] += 2 * 0.2357 * share(bars[o]);
      }
      for (let o = 0; o < 9; o++) values[18 + o] += share(bars[o] + bars[o + 9]);
    });
    return values;
  }

  /** Lengths of gradients by 18 directions, each shared by the four nearest cells: (rows + 2, columns + 2, 18). */
  function histograms(image, columns, rows) {
    const bars = new Float32Array((rows + 2) * (columns + 2) * 18);
    const right = Math.min(columns * CELL, image.width) - 1, bottom = Math.min(rows * CELL, image.height) - 1;
    for (let y = 1; y < bottom; y++) {
      for (let x = 1; x < right; x++) {
        const at = y * image.width + x;
        const dx = image.data[at + 1] - image.data[at - 1];
        const dy = image.data[at + image.width] - image.data[at - image.width];
        const length = Math.sqrt(dx * dx + dy * dy), place = direction(dx, dy);
        const u = (x + 0.5) / CELL + 0.5, v = (y + 0.5) / CELL + 0.5, column = Math.floor(u), row = Math.floor(v);
        const upper = (row * (columns + 2) + column) * 18 + place, lower = upper + (columns + 2) * 18;
        bars[upper] += (1 - (v - row)) * (1 - (u - column)) * length;
        bars[upper + 18] += (1 - (v - row)) * (u - column) * length;
        bars[lower] += (v - row) * (1 - (u - column)) * length;
        bars[lower + 18] += (v - row) * (u - column) * length;
      }
    }
    return bars;
  }

  /** The nearest of 18 directions. */
  function direction(dx, dy) {
    let best = 0, found = 0;
    for (let o = 0; o < 9; o++) {
      const along = Math.fround(Math.fround(dx * COS[o]) + Math.fround(dy * SIN[o]));
      if (Math.abs(along) > best) {
        best = Math.abs(along);
        found = along > 0 ? o : o + 9;
      }
    }
    return found;
  }

  return { findBox };
})();
