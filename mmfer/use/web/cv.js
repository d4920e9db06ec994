// Pictures as OpenCV makes them, to the grey level: mmfer calls cv2.cvtColor and cv2.resize, and its networks were
// trained on what those give. A picture is { data: Uint8Array, width, height }, its pixels in rows, RGB or grey.
"use strict";

const cv = (() => {
  const SHORT = 2048; // weights of pixels are whole numbers of these, as in OpenCV

  /** To the nearest whole number, halves to the even one, as Python's round and np.round. */
  function round(value) {
    const floor = Math.floor(value);
    if (value - floor !== 0.5) return Math.round(value);
    return floor % 2 === 0 ? floor : floor + 1;
  }

  const clip = (value, low, high) => Math.min(Math.max(value, low), high);

  /** cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY). */
  function grey({ data, width, height }) {
    const out = new Uint8Array(width * height);
    for (let i = 0, k = 0; i < out.length; i++, k += 3) {
      out[i] = (9798 * data[k] + 19235 * data[k + 1] + 3735 * data[k + 2] + 16384) >> 15;
    }
    return { data: out, width, height };
  }

  /** np.rot90: turned by so many quarters, against the clock. */
  function rot90({ data, width, height }, quarters) {
    if (quarters === 0) return { data, width, height };
    const channels = data.length / (width * height);
    const out = { data: new Uint8Array(data.length), width: height, height: width };
    for (let y = 0; y < width; y++) {
      for (let x = 0; x < height; x++) {
        const from = x * width + width - 1 - y;
        for (let c = 0; c < channels; c++) out.data[(y * height + x) * channels + c] = data[from * channels + c];
      }
    }
    return rot90(out, quarters - 1);
  }

  /** cv2.resize with INTER_LINEAR, INTER_CUBIC (to make larger) or INTER_AREA (to make smaller). */
  function resize(image, width, height, how) {
    if (width === image.width && height === image.height) return image;
    return { linear: resizeLinear, cubic: resizeCubic, area: resizeArea }[how](image, width, height);
  }

  /** For each new pixel of a row or column: the first old one that it looks at, and the weights of `weigh`. */
  function taps(from, to, reach, weigh) {
    const first = new Int32Array(to), weights = [];
    for (let i = 0; i < to; i++) {
      const place = Math.fround((i + 0.5) * (from / to) - 0.5);
      const floor = Math.floor(place);
      first[i] = floor - reach + 1;
      weights.push(weigh(Math.fround(place - floor)).map((weight) => round(Math.fround(weight * SHORT))));
    }
    return { first, weights };
  }

  /** Each row of a picture, weighed along itself: (height * width * channels,) int32, in units of 1 / 2048. */
  function alongRows({ data, width, height }, to, { first, weights }) {
    const channels = data.length / (width * height), out = new Int32Array(height * to * channels);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < to; x++) {
        for (let k = 0; k < weights[x].length; k++) {
          const from = (y * width + clip(first[x] + k, 0, width - 1)) * channels, place = (y * to + x) * channels;
          for (let c = 0; c < channels; c++) out[place + c] += weights[x][k] * data[from + c];
        }
      }
    }
    return out;
  }

  function resizeLinear(image, width, height) {
    const weigh = (share) => [Math.fround(1 - share), share];
    const rows = alongRows(image, width, taps(image.width, width, 1, weigh));
    const down = taps(image.height, height, 1, weigh), length = rows.length / image.height;
    const out = new Uint8Array(height * length);
    for (let y = 0; y < height; y++) {
      const upper = clip(down.first[y], 0, image.height - 1) * length;
      const lower = clip(down.first[y] + 1, 0, image.height - 1) * length;
      const [a, b] = down.weights[y];
      for (let i = 0; i < length; i++) {
        const sum = ((a * (rows[upper + i] >> 4)) >> 16) + ((b * (rows[lower + i] >> 4)) >> 16);
        out[y * length + i] = (sum + 2) >> 2;
      }
    }
    return { data: out, width, height };
  }

  /** Weights of four pixels (Keys, 1981, with a = -0.75). */
  function keys(x) {
    const near = (d) => (1.25 * d - 2.25) * d * d + 1;
    const far = (d) => ((-0.75 * d + 3.75) * d - 6) * d + 3;
    const weights = [far(x + 1), near(x), near(1 - x)];
    return [...weights, 1 - weights[0] - weights[1] - weights[2]];
  }

  function resizeCubic(image, width, height) {
    const rows = alongRows(image, width, taps(image.width, width, 2, keys));
    const down = taps(image.height, height, 2, keys), length = rows.length / image.height;
    const out = new Uint8ClampedArray(height * length);
    for (let y = 0; y < height; y++) {
      const starts = [0, 1, 2, 3].map((k) => clip(down.first[y] + k, 0, image.height - 1) * length);
      for (let i = 0; i < length; i++) {
        let sum = 0;
        for (let k = 0; k < 4; k++) sum += down.weights[y][k] * rows[starts[k] + i];
        out[y * length + i] = round(sum / (SHORT * SHORT));
      }
    }
    return { data: new Uint8Array(out.buffer), width, height };
  }

  /** Which old pixels new ones cover, and what share of it each is: those of pixel i from starts[i] on. */
  function covers(from, to) {
    const scale = from / to, starts = new Int32Array(to + 1), pixels = [], shares = [];
    for (let i = 0; i < to; i++) {
      const start = i * scale, end = start + scale, size = Math.min(scale, from - start);
      const last = Math.min(Math.floor(end), from - 1), first = Math.min(Math.ceil(start), last);
      const add = (pixel, share) => shares.push(share / size) && pixels.push(pixel);
      if (first - start > 1e-3) add(first - 1, first - start);
      for (let k = first; k < last; k++) add(k, 1);
      if (end - last > 1e-3) add(last, Math.min(end - last, 1, size));
      starts[i + 1] = pixels.length;
    }
    return { starts, pixels: Int32Array.from(pixels), shares: Float32Array.from(shares) };
  }

  function resizeArea(image, width, height) {
    if (image.width % width === 0 && image.height % height === 0) return resizeWhole(image, width, height);
    const channels = image.data.length / (image.width * image.height), length = width * channels;
    const across = covers(image.width, width), down = covers(image.height, height);
    const out = new Uint8Array(height * length);
    const row = new Float32Array(length), sum = new Float32Array(length); // both round each step to float32
    for (let y = 0; y < height; y++) {
      sum.fill(0);
      for (let v = down.starts[y]; v < down.starts[y + 1]; v++) {
        shrinkRow(image.data, down.pixels[v] * image.width * channels, channels, across, row);
        for (let i = 0; i < length; i++) sum[i] += Math.fround(down.shares[v] * row[i]);
      }
      for (let i = 0; i < length; i++) out[y * length + i] = Math.min(round(sum[i]), 255);
    }
    return { data: out, width, height };
  }

  /** Fill a row of the new picture from the row of the old one that starts at `at`. */
  function shrinkRow(data, at, channels, { starts, pixels, shares }, row) {
    row.fill(0);
    for (let x = 0, place = 0; x + 1 < starts.length; x++, place += channels) {
      for (let k = starts[x]; k < starts[x + 1]; k++) {
        const from = at + pixels[k] * channels, share = shares[k];
        for (let c = 0; c < channels; c++) row[place + c] += Math.fround(data[from + c] * share);
      }
    }
  }

  /** To a half, a third and so on: means of whole pixels. */
  function resizeWhole(image, width, height) {
    const channels = image.data.length / (image.width * image.height), out = new Uint8Array(width * height * channels);
    const across = image.width / width, down = image.height / height, share = Math.fround(1 / (across * down));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (let v = y * down; v < (y + 1) * down; v++) {
            for (let u = x * across; u < (x + 1) * across; u++) sum += image.data[(v * image.width + u) * channels + c];
          }
          const quarters = across === 2 && down === 2;
          out[(y * width + x) * channels + c] = quarters ? (sum + 2) >> 2 : round(Math.fround(sum * share));
        }
      }
    }
    return { data: out, width, height };
  }

  return { round, clip, grey, rot90, resize };
})();
