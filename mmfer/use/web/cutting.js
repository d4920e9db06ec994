// The square around a face that FER2013 would show of it: mmfer/data/cutting.py.
"use strict";

const cutting = (() => {
  /** A square of a grey photo as (size, size); where it leaves the photo, its edge is repeated. */
  function cutSquare(photo, left, top, side, size) {
    const cut = { data: new Uint8Array(side * side), width: side, height: side };
    for (let y = 0; y < side; y++) {
      const row = cv.clip(top + y, 0, photo.height - 1) * photo.width;
      for (let x = 0; x < side; x++) cut.data[y * side + x] = photo.data[row + cv.clip(left + x, 0, photo.width - 1)];
    }
    return cv.resize(cut, size, size, side > size ? "area" : "linear");
  }

  return { cutSquare };
})();
