// Faces in photos: mmfer/face/photos.py, with YuNet as the detector. Pixels of the photo, edges left, top, right, bottom.
"use strict";

const photos = (() => {
  const SMALL = 192, MEDIUM = 320, LARGE = 1280; // longest sides at which a photo is searched
  const CLOSE = 0.25, SMALL_FACE = 32, SHARED = 0.6, LANDMARK_PX = 160;
  const TILE = 192, ROOM = 2, AGAIN = 32;
  const FRAME_SIDE = 1.025, FRAME_RISE = 0.02, EXPECTED_SIDE = 0.917, EXPECTED_RISE = -0.057;
  const STRICT = 0.6, STRICT_CLOSE = 0.4, STRICT_SMALL = 0.8, STRICT_TURNED = 0.88, STRICT_AGAIN = 0.7; // scores
  const WEAKEST = 0.1;

  /** Photo RGB -> its faces that are not weak, the surest first: box, score, landmarks (136,), image (48, 48), turned. */
  async function detect(photo, models) {
    const longest = Math.max(photo.width, photo.height);
    const sides = [cv.clip(longest, 256, LARGE), longest <= MEDIUM ? SMALL : MEDIUM];
    const views = (picture, sizes) => [...new Set(sizes)].map((side) => scaled(picture, side));
    const found = await searched(photo, 0, views(photo, sides), WEAKEST, (box) => strict(box, photo), models);
    const doubtful = joined(found).filter(({ weak, box }) => weak && !close(longerSide(box), photo));
    for (const face of doubtful.slice(0, AGAIN)) {
      const seen = await searched(photo, 0, [tile(photo, face.box)], STRICT_AGAIN, () => STRICT_AGAIN, models);
      found.push(...seen.filter((other) => same(face, other)));
    }
    if (found.every((face) => face.score < STRICT_TURNED)) {
      for (const turn of [1, 2, 3]) {
        const smaller = views(cv.rot90(photo, turn), sides.slice(1));
        found.push(...(await searched(photo, turn, smaller, STRICT_TURNED, () => STRICT_TURNED, models)));
      }
    }
    const grey = cv.grey(photo);
    return joined(found).filter((face) => !face.weak).map((face) => described(grey, face, models.shape));
  }

  /** The score from which on a box in an upright photo is no weak face. */
  function strict([left, top, right, bottom], photo) {
    if (close(right - left, photo)) return STRICT_CLOSE;
    const small = SMALL_FACE * Math.max(Math.max(photo.width, photo.height) / LARGE, 1);
    return bottom - top < small ? STRICT_SMALL : STRICT;
  }

  const close = (side, { width, height }) => side >= CLOSE * Math.min(width, height);

  const longerSide = (box) => Math.max(box[2] - box[0], box[3] - box[1]);

  /** The faces in some views of a photo that is turned by so many quarters first; `bound` bounds weak ones by box. */
  async function searched(photo, turn, views, least, bound, models) {
    const faces = [];
    for (const face of await search(views, least, models)) {
      const corners = unturned(face.box, turn, photo, 0);
      const [x, y] = [[corners[0], corners[2]], [corners[1], corners[3]]];
      const box = [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
      faces.push({ box, score: face.score, weak: face.score < bound(face.box), turn, found: face });
    }
    return faces;
  }

  async function search(views, least, models) {
    const found = [];
    for (const { image, factors, corner: at } of views) {
      for (const { box: edges, score } of await yunet.findBoxes(image, least, models.yunet)) {
        const box = edges.map((edge, k) => edge / factors[k % 2] + at[k % 2]);
        const x = (box[0] + box[2]) / 2, y = (box[1] + box[3]) / 2, height = box[3] - box[1];
        const frame = FRAME_SIDE * height, half = (EXPECTED_SIDE * height) / 2, centre = y - EXPECTED_RISE * height;
        const corner = [cv.round(x - frame / 2), cv.round(y - FRAME_RISE * height - frame / 2)];
        const expected = [x - half, centre - half, x + half, centre + half];
        found.push({ box, score, frame: [...corner, Math.max(cv.round(frame), 2)], expected });
      }
    }
    return found;
  }

  /** The photo with its longest side so long, the factors by which x and y became larger, and where it begins. */
  function scaled(photo, side) {
    const factor = side / Math.max(photo.width, photo.height);
    const [width, height] = [photo.width, photo.height].map((length) => Math.max(cv.round(length * factor), 1));
    const image = cv.resize(photo, width, height, factor < 1 ? "area" : "cubic");
    return { image, factors: [width / photo.width, height / photo.height], corner: [0, 0] };
  }

  /** What lies around a box of a photo. */
  function tile(photo, box) {
    const side = Math.max(cv.round(ROOM * longerSide(box)), 2);
    const corner = [0, 1].map((k) => cv.round((box[k] + box[k + 2] - side) / 2));
    return { image: cutting.cutSquare(photo, ...corner, side, TILE), factors: [TILE / side, TILE / side], corner };
  }

  /** The surest of those that overlap, the surest first, weak ones last. */
  function joined(found) {
    const kept = [];
    for (const face of [...found].sort((a, b) => a.weak - b.weak || b.score - a.score)) {
      if (!kept.some((other) => same(face, other))) kept.push(face);
    }
    return kept;
  }

  const same = ({ box: a }, { box: b }) => intersection(a, b) >= SHARED * Math.min(area(a), area(b));

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
