// Where the face is in a picture of 48 px, and which parts of it can be seen: mmfer/face/detection.py, visibility.py.
"use strict";

const detection = (() => {
  const ROUNDS = 3; // of the shape predictor, the last ones, whose leaves tell what can be seen

  /** A face (48, 48) -> score (null where not found), landmarks (136,) in its pixels, visibility (5,). */
  function findFace(face, { detect_px: side, border_px: border, threshold }, models) {
    const enlarged = cv.resize(face, side, side, "linear"), size = side + 2 * border, factor = side / face.width;
    const large = { data: new Uint8Array(size * size), width: size, height: size };
    for (let y = 0; y < side; y++) {
      large.data.set(enlarged.data.subarray(y * side, (y + 1) * side), (y + border) * size + border);
    }
    const found = frontal.findBox(large, models.frontal, threshold);
    const box = found ? found.box : [border, border, border + side - 1, border + side - 1];
    const { landmarks, leaves } = shapePredictor.findLandmarksAndLeaves(large, box, models.shape, ROUNDS);
    return {
      score: found ? found.score : null,
      landmarks: landmarks.map((value) => (value - border + 0.5) / factor - 0.5),
      visible: visible(leaves, models.visibility),
    };
  }

  /** Leaves (ROUNDS * trees,) -> probability (5,) that more than half of brows, eyes, nose, mouth and jaw can be seen. */
  function visible(leaves, { weights, bias }) {
    const logits = Float32Array.from(bias), [, count, parts] = weights.shape;
    leaves.forEach((leaf, tree) => {
      for (let part = 0; part < parts; part++) logits[part] += weights[(tree * count + leaf) * parts + part];
    });
    return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  }

  /** A face (48, 48) and a box in its pixels -> landmarks (136,), fitted at twice its size. */
  function predictLandmarks(face, box, model) {
    const factor = 2, large = cv.resize(face, factor * face.width, factor * face.height, "linear");
    const area = box.map((edge) => cv.round(edge * factor));
    const { landmarks } = shapePredictor.findLandmarksAndLeaves(large, area, model, 0);
    return landmarks.map((value) => (value + 0.5) / factor - 0.5);
  }

  return { findFace, predictLandmarks };
})();
