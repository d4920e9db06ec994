// The square around a face that FER2013 would show of it: mmfer/data/cutting.py.
"use strict";

const cutting = (() => {
  /** A square of a photo as (size, size); where it leaves the photo, its edge is repeated. */
  function cutSquare(photo, left, top, side, size) {
    const channels = photo.data.length / (photo.width * photo.height);
    const cut = { data: new Uint8Array(side * side * channels), width: side, height: side };
    for (let y = 0; y < side; y++) {
      const row = cv.clip(top + y, 0, photo.height - 1) * photo.width;
      for (let x = 0; x < side; x++) {
        const from = (row + cv.clip(left + x, 0, photo.width - 1)) * channels, to = (y * side + x) * channels;
        for (let c = 0; c < channels; c++) cut.data[to + c] = photo.data[from + c];
      }
    }
    return cv.resize(cut, size, size, side > size ? "area" : "linear");
  }

  return { cutSquare };
})();
