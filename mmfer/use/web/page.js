// The page: a photo of a file, the camera or the example; its faces, and what each was taken for.
"use strict";

const page = (() => {
  const MOST_PIXELS = 24e6; // of a photo; larger ones are made smaller, for a canvas has its limits
  const PARTS = ["brows", "eyes", "nose", "mouth", "jaw"];
  const at = (id) => document.getElementById(id);
  let models, example, shown; // shown: { photo, faces, chosen }
  let watching = false;

  /** Load the data with its progress, open the models, and wait for photos; till then the page takes none. */
  async function start() {
    at("limits").textContent = FACTS.about;
    const total = FACTS.scripts.reduce((sum, [, size]) => sum + size, 0);
    let done = 0;
    for (const [name, size] of FACTS.scripts) {
      say(`Loading the models: ${megabytes(done)} of ${megabytes(total)} MB`);
      await load(name);
      at("progress").value = (done += size) / total;
    }
    say("Opening the models");
    await predictor.startRuntime();
    models = await predictor.load(FACTS);
    example = new Blob([await parts.bytes("example")]);
    at("progress").hidden = true;
    enable(true);
    say("Drop or choose a photo with a face: its expression is named.");
  }

  const megabytes = (bytes) => Math.round(bytes / 1e6);

  function load(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${name} is missing: copy the whole folder`));
      script.src = name;
      document.head.append(script);
    });
  }

  /** Let the browser show what was said, and hear what is clicked. */
  const pause = () => new Promise((resolve) => setTimeout(resolve, 30));

  function say(text) {
    at("status").textContent = text;
  }

  function enable(able) {
    for (const id of ["file", "camera", "example"]) at(id).disabled = !able;
  }

  /** The pixels of a file, RGB on white, turned as EXIF says. */
  async function decode(blob) {
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };
    const bitmap = await createImageBitmap(blob, options);
    const factor = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
    return pixels(bitmap, Math.floor(bitmap.width * factor), Math.floor(bitmap.height * factor));
  }

  function pixels(source, width, height) {
    const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "white";
    pen.fillRect(0, 0, width, height);
    pen.drawImage(source, 0, 0, width, height);
    const { data } = pen.getImageData(0, 0, width, height), rgb = new Uint8Array(3 * width * height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c];
    }
    return { data: rgb, width, height };
  }

  /** Decode a file and answer it; what is no photo is said to be none. */
  async function answer(blob) {
    stopCamera();
    enable(false);
    say("Looking for faces");
    await pause();
    try {
      await show(await decode(blob));
    } catch (error) {
      say(error.name === "InvalidStateError" ? "This is not a photo that this browser can read." : String(error));
    }
    enable(true);
  }

  async function show(photo) {
    const begin = performance.now(), faces = await predictor.predict(photo, models);
    const seconds = ((performance.now() - begin) / 1000).toFixed(2);
    const count = faces.length === 0 ? "No face was found" : `${faces.length} face${faces.length > 1 ? "s" : ""}`;
    say(`${count}, ${seconds} s`);
    shown = { photo, faces, chosen: 0 };
    draw();
  }

  function draw() {
    const { photo, faces, chosen } = shown, face = faces[chosen];
    at("result").hidden = false;
    drawing.markFaces(at("photo"), photo, faces, chosen);
    at("verdict").hidden = at("reasons").hidden = face === undefined;
    if (face === undefined) return;
    at("choice").replaceChildren(...(faces.length > 1 ? faces.map(chooser) : []));
    const others = face.candidates.slice(1).join(" or ");
    at("sentence").replaceChildren("Most probably ", element("strong", face.expression), `, ${percent(surest(face))}`);
    if (others) at("sentence").append(`; it may as well be ${others}`);
    at("bars").replaceChildren(...FACTS.classes.flatMap((name, k) => bar(name, face.probabilities[k], face)));
    const hidden = PARTS.flatMap((part, k) => {
      const seen = face.seen.visible[k];
      return seen < 0.5 ? [`${part} (${percent(1 - seen)})`] : [];
    });
    at("hidden").textContent = hidden.length ? `Probably hidden: ${hidden.join(", ")}.` : "";
    drawing.drawLandmarks(at("seen"), face.seen);
  }

  const percent = (share) => `${Math.round(100 * share)} %`;
  const surest = (face) => Math.max(...face.probabilities);

  function element(tag, text) {
    return Object.assign(document.createElement(tag), { textContent: text });
  }

  function chooser(face, k) {
    const button = element("button", `${k + 1}: ${face.expression}`);
    button.setAttribute("aria-pressed", k === shown.chosen);
    button.onclick = () => {
      shown.chosen = k;
      draw();
    };
    return button;
  }

  /** Name, bar and share of a class. */
  function bar(name, share, face) {
    const [label, track, value] = [element("div", name), element("i", ""), element("span", percent(share))];
    if (name === face.expression) [label, value].forEach((part) => part.classList.add("top"));
    const filled = element("b", "");
    filled.style.width = `${100 * share}%`;
    track.append(filled);
    return [label, track, value];
  }

  /** Answer one picture of the camera after another, until another source is chosen. */
  async function watch() {
    const video = at("video");
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
    } catch (error) {
      say(`The camera cannot be used: ${error.message}`);
      return;
    }
    await video.play();
    watching = true;
    at("camera").textContent = "Stop the camera";
    while (watching) {
      await show(pixels(video, video.videoWidth, video.videoHeight));
      await pause();
    }
  }

  function stopCamera() {
    watching = false;
    at("camera").textContent = "Use the camera";
    at("video").srcObject?.getTracks().forEach((track) => track.stop());
    at("video").srcObject = null;
  }

  at("file").onchange = (event) => event.target.files[0] && answer(event.target.files[0]);
  at("example").onclick = () => answer(example);
  at("camera").onclick = () => (watching ? stopCamera() : watch());
  at("camera").hidden = !navigator.mediaDevices; // only pages from this computer or by HTTPS have it
  document.body.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dragged");
  };
  document.body.ondragleave = () => document.body.classList.remove("dragged");
  document.body.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dragged");
    if (models && event.dataTransfer.files[0]) answer(event.dataTransfer.files[0]);
  };
  start().catch((error) => say(`The page could not start: ${error.message}`));
  return { answers: () => shown?.faces ?? null };
})();
