// Faces in photos: mmfer/face/photos.py, with YuNet as the detector. Pixels of the photo, edges left, top, right, bottom.
"use strict";

const photos = (() => {
  const SMALL = 192, MEDIUM = 320, LARGE = 1280; // longest sides at which a photo is searched
  const CLOSE = 0.25, SHARED = 0.6, LANDMARK_PX = 160;
  const FRAME_SIDE = 1.025, FRAME_RISE = 0.02, EXPECTED_SIDE = 0.917, EXPECTED_RISE = -0.057;
  const STRICT = 0.6, STRICT_CLOSE = 0.4, STRICT_TURNED = 0.88, WEAKEST = 0.3; // scores

  /** Photo RGB -> its faces that are not weak, the surest first: box, score, landmarks (136,), image (48, 48), turned. */
  async function detect(photo, models) {
    const longest = Math.max(photo.width, photo.height);
    const sides = [cv.clip(longest, 256, LARGE), longest <= MEDIUM ? SMALL : MEDIUM];
    const found = await searched(photo, 0, sides, WEAKEST, models);
    if (found.every((face) => face.score < STRICT_TURNED)) {
      for (const turn of [1, 2, 3]) found.push(...(await searched(photo, turn, sides.slice(1), STRICT_TURNED, models)));
    }
    const grey = cv.grey(photo);
    return joined(found).filter((face) => !face.weak).map((face) => described(grey, face, models.shape));
  }

  /** The faces of a photo that is turned by so many quarters first. */
  async function searched(photo, turn, sides, least, models) {
    const close = CLOSE * Math.min(photo.width, photo.height), faces = [];
    for (const face of await search(cv.rot90(photo, turn), sides, least, models)) {
      const corners = unturned(face.box, turn, photo, 0);
      const [x, y] = [[corners[0], corners[2]], [corners[1], corners[3]]];
      const box = [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
      const upright = face.box[2] - face.box[0] >= close ? STRICT_CLOSE : STRICT;
      faces.push({ box, score: face.score, weak: face.score < (turn ? STRICT_TURNED : upright), turn, found: face });
    }
    return faces;
  }

  async function search(photo, sides, least, models) {
    const found = [];
    for (const side of new Set(sides)) {
      const { image, factors } = scaled(photo, side);
      for (const { box: edges, score } of await yunet.findBoxes(image, least, models.yunet)) {
        const box = edges.map((edge, k) => edge / factors[k % 2]);
        const x = (box[0] + box[2]) / 2, y = (box[1] + box[3]) / 2, height = box[3] - box[1];
        const frame = FRAME_SIDE * height, half = (EXPECTED_SIDE * height) / 2, centre = y - EXPECTED_RISE * height;
        const corner = [cv.round(x - frame / 2), cv.round(y - FRAME_RISE * height - frame / 2)];
        const expected = [x - half, centre - half, x + half, centre + half];
        found.push({ box, score, frame: [...corner, Math.max(cv.round(frame), 2)], expected });
      }
    }
    return found;
  }

  /** The photo with its longest side so long, and the factors by which x and y became larger. */
  function scaled(photo, side) {
    const factor = side / Math.max(photo.width, photo.height);
    const [width, height] = [photo.width, photo.height].map((length) => Math.max(cv.round(length * factor), 1));
    const image = cv.resize(photo, width, height, factor < 1 ? "area" : "cubic");
    return { image, factors: [width / photo.width, height / photo.height] };
  }

  /** The surest of those that overlap, the surest first. */
  function joined(found) {
    const kept = [];
    for (const face of found.sort((a, b) => b.score - a.score)) {
      const apart = (other) => intersection(face.box, other.box) < SHARED * Math.min(area(face.box), area(other.box));
      if (kept.every(apart)) kept.push(face);
    }
    return kept;
  }

  function intersection(a, b) {
    const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    return Math.max(width, 0) * Math.max(height, 0);
  }

  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

  function described(grey, { box, score, turn, found }, model) {
    const turned = cv.rot90(grey, turn);
    const landmarks = unturned(fitLandmarks(turned, found.expected, model), turn, grey, 1);
    const image = cutting.cutSquare(turned, ...found.frame, geometry.FACE_PX);
    return { box, score, landmarks, image, turned: 90 * turn };
  }

  /** Grey photo, the box of a face as dlib's detector draws it -> landmarks (136,). */
  function fitLandmarks(grey, box, model) {
    const side = Math.max(cv.round(2 * (box[2] - box[0])), 2);
    const corner = [0, 1].map((k) => cv.round((box[k] + box[k + 2] - side) / 2)), scale = LANDMARK_PX / side;
    const cut = cutting.cutSquare(grey, ...corner, side, LANDMARK_PX);
    const place = box.map((edge, k) => cv.round((edge - corner[k % 2]) * scale) - (k > 1 ? 1 : 0));
    const { landmarks } = shapePredictor.findLandmarksAndLeaves(cut, place, model, 0);
    return Array.from(landmarks, (value, k) => (value + 0.5) / scale - 0.5 + corner[k % 2]);
  }

  /** Points x, y, x, y ... of a photo that rot90 turned, in its own pixels; `last` is 1 for centres, 0 for edges. */
  function unturned(points, turn, { width, height }, last) {
    const [w, h] = [width - last, height - last], moved = [];
    for (let k = 0; k < points.length; k += 2) {
      const [x, y] = [points[k], points[k + 1]];
      moved.push(...[[x, y], [w - y, x], [w - x, h - y], [y, h - x]][turn]);
    }
    return moved;
  }

  return { detect, LARGE };
})();
