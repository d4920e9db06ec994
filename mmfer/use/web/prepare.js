// From a face as it was cut to what the network reads: mmfer/face/prepare.py. The rest is part of the ONNX graph.
"use strict";

const prepare = (() => {
  /** A face (48, 48) as it was cut -> image, landmarks, hog and visible, as stored for the network. */
  function see(face, clean, extract, models) {
    const { score, landmarks, visible } = detection.findFace(face, clean, models);
    const aligned = score !== null && clean.align;
    const transform = aligned ? geometry.similarity(landmarks, clean) : geometry.IDENTITY;
    const image = geometry.warp(face, transform);
    let points = geometry.moveLandmarks(landmarks, transform);
    if (extract.landmarks === "predict") points = detection.predictLandmarks(image, extent(points), models.shape);
    return { image, landmarks: points, hog: hog.describe(image, extract), visible };
  }

  /** The box around points: left, top, right, bottom. */
  function extent(points) {
    const [x, y] = [0, 1].map((axis) => points.filter((_, k) => k % 2 === axis));
    return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
  }

  return { see };
})();
