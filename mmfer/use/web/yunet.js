// YuNet (Wu, Peng and Yu, 2023): mmfer/face/yunet.py, and around its network what cv2.FaceDetectorYN does.
"use strict";

const yunet = (() => {
  const LEAST_PX = 64, OVERLAP = 0.3, MULTIPLE = 32; // of the sides that its network takes
  const STRIDES = [8, 16, 32]; // pixels from one place that it looks at to the next

  /** Photo RGB -> faces { box: edges left, top, right, bottom, score }, the surest first. */
  async function findBoxes(photo, minScore, session) {
    const input = blob(photo);
    const out = await session.run({ input: new ort.Tensor("float32", input.data, [1, 3, input.height, input.width]) });
    return suppress(STRIDES.flatMap((stride) => decode(out, stride, input.width / stride, minScore)));
  }

  /** Planes of blue, green and red; what lacks of the least size repeats the border, what lacks of a multiple is 0. */
  function blob({ data, width, height }) {
    const [wide, high] = [Math.max(width, LEAST_PX), Math.max(height, LEAST_PX)];
    const [across, down] = [wide, high].map((side) => Math.ceil(side / MULTIPLE) * MULTIPLE);
    const planes = new Float32Array(3 * across * down);
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const from = 3 * (Math.min(y, height - 1) * width + Math.min(x, width - 1));
        for (let c = 0; c < 3; c++) planes[(c * down + y) * across + x] = data[from + 2 - c];
      }
    }
    return { data: planes, width: across, height: down };
  }

  /** The faces that the places of one stride report. */
  function decode(out, stride, columns, minScore) {
    const [cls, obj, box] = ["cls", "obj", "bbox"].map((name) => out[`${name}_${stride}`].data);
    const faces = [];
    for (let k = 0; k < cls.length; k++) {
      const score = Math.fround(Math.sqrt(cv.clip(cls[k], 0, 1) * cv.clip(obj[k], 0, 1)));
      if (score <= minScore) continue;
      const x = ((k % columns) + box[4 * k]) * stride, y = (Math.floor(k / columns) + box[4 * k + 1]) * stride;
      const width = Math.exp(box[4 * k + 2]) * stride, height = Math.exp(box[4 * k + 3]) * stride;
      faces.push({ box: [x - width / 2, y - height / 2, width, height].map(Math.fround), score });
    }
    return faces;
  }

  /** Of faces whose boxes, in whole pixels, share more than OVERLAP only the surest; their edges. */
  function suppress(faces) {
    const kept = [];
    for (const face of faces.sort((a, b) => b.score - a.score)) {
      const whole = face.box.map(Math.trunc);
      if (kept.every((other) => shared(whole, other.whole) <= OVERLAP)) kept.push({ ...face, whole });
    }
    return kept.map(({ box: [x, y, width, height], score }) => ({ box: [x, y, x + width, y + height], score }));
  }

  /** Intersection over union of two boxes: left, top, width, height. */
  function shared(a, b) {
    const across = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
    const down = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
    const common = Math.max(across, 0) * Math.max(down, 0);
    return common / (a[2] * a[3] + b[2] * b[3] - common);
  }

  return { findBoxes };
})();
