// The stages of an exported page in node, without a browser: web_stages.js FOLDER INPUT.safetensors OUTPUT.json
"use strict";

const fs = require("node:fs"), path = require("node:path"), vm = require("node:vm"), zlib = require("node:zlib");

const [folder, input, output] = process.argv.slice(2);
const read = (name) => vm.runInThisContext(fs.readFileSync(path.join(folder, name), "utf8"), { filename: name });
const scripts = /<script src="([a-z_]+\.js)">/g, page = fs.readFileSync(path.join(folder, "index.html"), "utf8");
for (const [, name] of page.matchAll(scripts)) if (!["drawing.js", "page.js"].includes(name)) read(name);
const facts = vm.runInThisContext("FACTS");
for (const [name] of facts.scripts) if (/landmarks|faces/.test(name)) read(name);
const modules = vm.runInThisContext("({ parts, cv, cutting, frontal, geometry, hog, detection, prepare, predictor })");
const { parts, cv, cutting, frontal, geometry, hog, detection, prepare, predictor } = modules;

/** Rows of an array as pictures. */
function pictures(array) {
  const [count, height, width, channels = 1] = array.shape, size = height * width * channels;
  return Array.from({ length: count }, (_, k) => ({ data: array.slice(k * size, (k + 1) * size), width, height }));
}

async function main() {
  parts.add("input", zlib.gzipSync(fs.readFileSync(input)).toString("base64"));
  const given = await parts.arrays("input"), models = await predictor.loadArrays();
  const { clean, extract } = facts, list = (values) => Array.from(values);
  const [noise] = pictures(given.noise), [even] = pictures(given.even), [scene] = pictures(given.scene);
  const faces = pictures(given.faces), found = faces.map((face) => detection.findFace(face, clean, models));
  const results = {
    round: [0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6].map(cv.round),
    tempered: predictor.tempered([0.6, 0.3, 0.1, 0], { temperature: 0.8, temperature_rise: 0.3, temperature_bend: -0.2 }),
    grey: list(cv.grey(noise).data),
    turned: list(cv.rot90(noise, 3).data),
    linear: list(cv.resize(noise, 150, 97, "linear").data),
    cubic: list(cv.resize(noise, 150, 97, "cubic").data),
    area: list(cv.resize(noise, 48, 37, "area").data),
    half: list(cv.resize(even, even.width / 2, even.height / 2, "area").data),
    third: list(cv.resize(even, even.width / 3, even.height / 3, "area").data),
    cuts: Array.from({ length: given.squares.shape[0] }, (_, k) => {
      return list(cutting.cutSquare(cv.grey(scene), ...given.squares.subarray(3 * k, 3 * k + 3), 48).data);
    }),
    boxes: pictures(given.large).map((face) => frontal.findBox(face, models.frontal, clean.threshold)),
    landmarks: found.map((face) => list(face.landmarks)),
    visible: found.map((face) => list(face.visible)),
    transforms: found.map(({ landmarks }) => list(geometry.similarity(landmarks, clean))),
    hog: faces.map((face) => list(hog.describe(face, extract))),
    seen: faces.map((face) => prepare.see(face, clean, extract, models)).map(({ image, landmarks }) => {
      return { image: list(image.data), landmarks: list(landmarks) };
    }),
  };
  fs.writeFileSync(output, JSON.stringify(results));
}

main();
