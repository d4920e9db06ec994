// Boxes, labels and points: what mmfer/use/demo_pictures.py draws.
"use strict";

const drawing = (() => {
  const LINE = "rgb(0, 255, 128)"; // on photos
  const OUTLINES = [[0, 16, false], [17, 21, false], [22, 26, false], [27, 30, false], [31, 35, false]]
    .concat([[36, 41, true], [42, 47, true], [48, 59, true], [60, 67, true]]);

  /** A photo on a canvas, with a box and a label at each face; that of the chosen one is thicker. */
  function markFaces(canvas, photo, faces, chosen) {
    canvas.width = photo.width;
    canvas.height = photo.height;
    const pen = canvas.getContext("2d"), size = Math.max(photo.width, photo.height), thick = Math.max(1, size / 400);
    pen.putImageData(toImageData(photo), 0, 0);
    pen.strokeStyle = LINE;
    pen.font = `${Math.max(12, Math.round(size / 30))}px system-ui, sans-serif`;
    pen.textBaseline = "top";
    faces.forEach(({ box: [left, top, right, bottom], expression }, k) => {
      pen.lineWidth = thick * (k === chosen ? 2 : 1);
      pen.strokeRect(left, top, right - left, bottom - top);
      const text = (faces.length > 1 ? `${k + 1} ` : "") + expression;
      const { width, fontBoundingBoxDescent: height } = pen.measureText(text), edge = height / 4;
      const x = cv.clip(left, 0, Math.max(photo.width - width - 2 * edge, 0));
      const above = top - height - 2 * edge, y = above > 0 ? above : Math.min(bottom, photo.height) - height - 2 * edge;
      pen.fillStyle = LINE;
      pen.fillRect(x, y, width + 2 * edge, height + 2 * edge);
      pen.fillStyle = "black";
      pen.fillText(text, x + edge, y + edge);
    });
  }

  function toImageData({ data, width, height }) {
    const out = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      out.data.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
      out.data[4 * i + 3] = 255;
    }
    return out;
  }

  /** An aligned face (48, 48) and its landmarks, enlarged to fill a canvas. */
  function drawLandmarks(canvas, { image, landmarks }) {
    const small = new OffscreenCanvas(image.width, image.height), colours = { ...image, data: triple(image.data) };
    small.getContext("2d").putImageData(toImageData(colours), 0, 0);
    const pen = canvas.getContext("2d"), zoom = canvas.width / image.width;
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
    pen.strokeStyle = pen.fillStyle = LINE;
    pen.lineWidth = 2;
    const place = (k) => [(landmarks[2 * k] + 0.5) * zoom, (landmarks[2 * k + 1] + 0.5) * zoom];
    for (const [first, last, closed] of OUTLINES) {
      pen.beginPath();
      for (let k = first; k <= last; k++) pen.lineTo(...place(k));
      if (closed) pen.closePath();
      pen.stroke();
    }
    for (let k = 0; k < 68; k++) {
      pen.beginPath();
      pen.arc(...place(k), 4, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  const triple = (grey) => Uint8Array.from({ length: 3 * grey.length }, (_, k) => grey[Math.floor(k / 3)]);

  return { markFaces, drawLandmarks };
})();
