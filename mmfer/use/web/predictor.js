// Faces in photos and what they express: mmfer/use/predictor.py, with onnxruntime-web as `ort`.
"use strict";

const predictor = (() => {
  /** Have `ort` take its WebAssembly from the parts, in one thread: more need headers that no file from disk has. */
  async function startRuntime() {
    const glue = new Blob([await parts.bytes("glue")], { type: "text/javascript" });
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = await parts.bytes("runtime");
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
  }

  /** The models of the parts, opened; `facts` are those of the network. */
  async function load(facts) {
    return {
      facts,
      ...(await loadArrays()),
      yunet: await ort.InferenceSession.create(await parts.bytes("yunet")),
      network: await ort.InferenceSession.create(await parts.bytes("network")),
    };
  }

  /** Those models that are arrays. */
  async function loadArrays() {
    const { planes, ...shape } = await parts.arrays("landmarks"), faces = await parts.arrays("faces");
    return {
      shape: planes ? { ...shape, moves: joinPlanes(planes) } : shape,
      frontal: { filters: faces.filters, thresholds: faces.thresholds },
      visibility: { weights: faces.weights, bias: faces.bias },
    };
  }

  /** Numbers float32 of which the first, second, third and fourth bytes were stored one after another. */
  function joinPlanes(planes) {
    const count = planes.length / 4, bytes = new Uint8Array(planes.length);
    for (let plane = 0; plane < 4; plane++) {
      for (let k = 0; k < count; k++) bytes[4 * k + plane] = planes[plane * count + k];
    }
    return new Float32Array(bytes.buffer);
  }

  /** Photo RGB -> its faces, the surest first, each with what was found of it, what was seen, and probabilities. */
  async function predict(photo, models) {
    const found = await photos.detect(photo, models);
    if (found.length === 0) return [];
    const { clean, extract, classes, terms, least } = models.facts;
    const seen = found.map((face) => prepare.see(face.image, clean, extract, models));
    const plain = await network(seen, models.network);
    return found.map((face, k) => {
      const row = plain.subarray(k * classes.length, (k + 1) * classes.length);
      const probabilities = tempered(row, terms);
      const ranked = Array.from(classes.keys()).sort((a, b) => row[b] - row[a]).map((place) => classes[place]);
      const likely = least === null ? [] : ranked.filter((name, k) => k === 0 || row[classes.indexOf(name)] >= least);
      return { ...face, seen: seen[k], probabilities, expression: ranked[0], candidates: likely };
    });
  }

  /** What the network reads of each face -> plain probabilities, a row a face. */
  async function network(seen, session) {
    const arrays = {
      images: ["uint8", seen.map((face) => face.image.data), [48, 48]],
      landmarks: ["float32", seen.map((face) => face.landmarks), [68, 2]],
      hog: ["float32", seen.map((face) => face.hog), [seen[0].hog.length]],
      visible: ["float32", seen.map((face) => face.visible), [5]],
    };
    const inputs = session.inputNames.map((name) => {
      const [type, rows, shape] = arrays[name], whole = new rows[0].constructor(rows.length * rows[0].length);
      rows.forEach((row, k) => whole.set(row, k * row.length));
      return [name, new ort.Tensor(type, whole, [rows.length, ...shape])];
    });
    return (await session.run(Object.fromEntries(inputs))).probabilities.data;
  }

  /** Softmax of the logits over the temperature of this answer, from the plain softmax (mmfer/training/calibration.py). */
  function tempered(plain, { temperature, temperature_rise: rise, temperature_bend: bend }) {
    const logits = Array.from(plain, (value) => Math.log(Math.max(value, 1e-30)));
    const entropy = -logits.reduce((sum, logit, k) => sum + logit * plain[k], 0);
    const scaled = logits.map((logit) => logit / (temperature * Math.exp((rise + bend * entropy) * entropy)));
    const highest = Math.max(...scaled), powers = scaled.map((logit) => Math.exp(logit - highest));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  }

  return { startRuntime, load, loadArrays, predict, tempered };
})();
