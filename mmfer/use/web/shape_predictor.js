// The 68 landmarks of a face: mmfer/face/shape_predictor.py, which reads dlib's model (Kazemi and Sullivan, 2014).
"use strict";

const shapePredictor = (() => {
  /**
   * A grey picture and the box of its face (left, top, right, bottom, inclusive) -> landmarks (136,), x and y in turn,
   * whole pixels, and the leaves (rounds * trees,) that the face fell into in the trees of the last rounds.
   */
  function findLandmarksAndLeaves(image, box, model, rounds) {
    const shape = Float32Array.from(model.initial), [all, trees, splits] = model.thresholds.shape;
    const leaves = new Uint8Array(rounds * trees), pixels = new Uint8Array(model.anchors.shape[1]);
    for (let r = 0; r < all; r++) {
      look(image, box, shape, model, r, pixels);
      for (let tree = r * trees; tree < (r + 1) * trees; tree++) {
        let node = 0;
        while (node < splits) {
          const at = tree * splits + node;
          const difference = pixels[model.splits[2 * at]] - pixels[model.splits[2 * at + 1]];
          node = 2 * node + (difference > model.thresholds[at] ? 1 : 2);
        }
        const leaf = node - splits, first = (all - rounds) * trees;
        if (tree >= first) leaves[tree - first] = leaf;
        const move = (tree * (splits + 1) + leaf) * shape.length;
        for (let k = 0; k < shape.length; k++) shape[k] += model.moves[move + k];
      }
    }
    const size = [box[2] - box[0], box[3] - box[1]];
    return { landmarks: shape.map((value, k) => Math.floor(box[k % 2] + size[k % 2] * value + 0.5)), leaves };
  }

  /** Fill `pixels` with the grey levels that round r looks at, 0 outside: offsets turn and grow as the shape did. */
  function look(image, box, shape, model, r, pixels) {
    const [cos, sin] = turn(model.initial, shape), f = Math.fround;
    const width = box[2] - box[0], height = box[3] - box[1];
    for (let p = 0; p < pixels.length; p++) {
      const at = r * pixels.length + p, anchor = 2 * model.anchors[at];
      const dx = model.offsets[2 * at], dy = model.offsets[2 * at + 1];
      const x = box[0] + width * f(f(f(cos * dx) - f(sin * dy)) + shape[anchor]);
      const y = box[1] + height * f(f(f(sin * dx) + f(cos * dy)) + shape[anchor + 1]);
      const column = Math.floor(x + 0.5), row = Math.floor(y + 0.5);
      const inside = column >= 0 && column < image.width && row >= 0 && row < image.height;
      pixels[p] = inside ? image.data[row * image.width + column] : 0;
    }
  }

  /** Scale times cosine and sine of the similarity that brings one shape to another (Umeyama, 1991). */
  function turn(start, end) {
    const points = start.length / 2, mean = [0, 0, 0, 0];
    for (let k = 0; k < points; k++) {
      mean[0] += start[2 * k] / points;
      mean[1] += start[2 * k + 1] / points;
      mean[2] += end[2 * k] / points;
      mean[3] += end[2 * k + 1] / points;
    }
    let spread = 0, cos = 0, sin = 0;
    for (let k = 0; k < points; k++) {
      const x = start[2 * k] - mean[0], y = start[2 * k + 1] - mean[1];
      const u = end[2 * k] - mean[2], v = end[2 * k + 1] - mean[3];
      spread += x * x + y * y;
      cos += u * x + v * y;
      sin += v * x - u * y;
    }
    return [Math.fround(cos / spread), Math.fround(sin / spread)];
  }

  return { findLandmarksAndLeaves };
})();
