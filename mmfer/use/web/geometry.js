// Affine transforms of faces and the warp: mmfer/face/geometry.py. A transform is its six numbers, row by row.
"use strict";

const geometry = (() => {
  const FACE_PX = 48, CENTRE = (FACE_PX - 1) / 2, NOSE_DROP = 0.73;
  const RIGHT_EYE = [36, 42], LEFT_EYE = [42, 48], NOSE_BASE = 33;
  const IDENTITY = Float32Array.of(1, 0, 0, 0, 1, 0);

  /** Landmarks (136,) -> the similarity that brings eyes and nose base to fixed places, by least squares. */
  function similarity(landmarks, { eye_distance_px: distance, eye_height_px: height }) {
    const p = [mean(landmarks, ...RIGHT_EYE), mean(landmarks, ...LEFT_EYE), mean(landmarks, NOSE_BASE, NOSE_BASE + 1)];
    const nose = [CENTRE, height + NOSE_DROP * distance];
    const q = [[CENTRE - distance / 2, height], [CENTRE + distance / 2, height], nose];
    const [px, py] = middle(p), [qx, qy] = middle(q);
    let spread = 0, real = 0, imaginary = 0;
    p.forEach(([x, y], k) => {
      const [a, b, c, d] = [x - px, y - py, q[k][0] - qx, q[k][1] - qy];
      spread += a * a + b * b;
      real += a * c + b * d;
      imaginary += a * d - b * c;
    });
    const a = real / Math.max(spread, 1e-6), b = imaginary / Math.max(spread, 1e-6);
    return Float32Array.of(a, -b, qx - (a * px - b * py), b, a, qy - (b * px + a * py));
  }

  /** Mean of landmarks first to last - 1, float32. */
  function mean(landmarks, first, last) {
    let x = 0, y = 0;
    for (let k = first; k < last; k++) {
      x += landmarks[2 * k];
      y += landmarks[2 * k + 1];
    }
    return [Math.fround(x / (last - first)), Math.fround(y / (last - first))];
  }

  const middle = (points) => [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

  /** The inverse of a transform. */
  function invert([a, b, u, c, d, v]) {
    const det = a * d - b * c, [e, f, g, h] = [d / det, -b / det, -c / det, a / det];
    return Float32Array.of(e, f, -(e * u + f * v), g, h, -(g * u + h * v));
  }

  /** A face of 48 px as it looks after its transform: bilinear, pixels outside repeat the border. */
  function warp(face, transform) {
    const [a, b, c, d, e, f] = invert(transform), out = new Uint8Array(FACE_PX * FACE_PX);
    for (let y = 0; y < FACE_PX; y++) {
      for (let x = 0; x < FACE_PX; x++) {
        const u = cv.clip(a * x + b * y + c, 0, face.width - 1), v = cv.clip(d * x + e * y + f, 0, face.height - 1);
        const left = Math.min(Math.floor(u), face.width - 2), top = Math.min(Math.floor(v), face.height - 2);
        const du = u - left, dv = v - top, at = top * face.width + left, { data, width } = face;
        const upper = data[at] * (1 - du) + data[at + 1] * du;
        const lower = data[at + width] * (1 - du) + data[at + width + 1] * du;
        out[y * FACE_PX + x] = Math.floor(upper * (1 - dv) + lower * dv + 0.5);
      }
    }
    return { data: out, width: FACE_PX, height: FACE_PX };
  }

  /** Landmarks (136,) under a transform (mmfer/face/points.py). */
  function moveLandmarks(landmarks, [a, b, c, d, e, f]) {
    return landmarks.map((_, k) => {
      const x = landmarks[k - (k % 2)], y = landmarks[k - (k % 2) + 1];
      return k % 2 === 0 ? a * x + b * y + c : d * x + e * y + f;
    });
  }

  return { FACE_PX, IDENTITY, similarity, warp, moveLandmarks };
})();
