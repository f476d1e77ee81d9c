// The page: pictures come in by file, drop, paste, camera or sample, one after the other go through the engine, and
// become cards. For tests and extensions: `thumbnetReady` resolves when the engine is loaded, `thumbnetIdle()` when all
// pictures so far are answered, and `thumbnetLast` is the last answer, { name, className, probabilities, map, kind, runMs }
// with the map of the first class, 0 to 1, row by row.
((window, document) => {
  const byId = (id) => document.getElementById(id);
  const model = JSON.parse(byId("model").textContent);
  const { channels, height, width, white } = model;
  const shape = { channels, height, width, white };
  const MOST_NOISE = 2; // levels of 256, which change no answer
  const results = ThumbnetResults.create(model, {
    list: byId("list"), toggle: byId("show-saliency"), empty: byId("empty"), clear: byId("clear"),
  });
  const problems = byId("problems");
  const said = byId("said");

  const breathe = () => new Promise((resolve) => setTimeout(resolve));

  function complain(text, place = problems) {
    const note = document.createElement("p");
    note.className = "note";
    note.textContent = text;
    place.append(note);
  }
  const warn = (text) => complain(text, byId("warnings")); // which stays

  /** Whether pixels are read as they were drawn: some browsers change them, against tracking. */
  function readsWhatItDrew() {
    const drawn = new ImageData(16, 16);
    drawn.data.forEach((_, at) => (drawn.data[at] = at % 4 === 3 ? 255 : (37 * at) % 256));
    const context = Object.assign(document.createElement("canvas"), { width: 16, height: 16 }).getContext("2d");
    context.putImageData(drawn, 0, 0);
    const read = context.getImageData(0, 0, 16, 16).data;
    return drawn.data.every((level, at) => Math.abs(level - read[at]) <= MOST_NOISE);
  }

  async function load() {
    if (!readsWhatItDrew()) {
      warn("This browser hides from pages what is in a picture, against tracking, so the answers below are wrong. " +
        "Allow this page to read canvas data, or use another browser.");
    }
    const { unpacked, fromPlanes } = ThumbnetBytes;
    const weights = fromPlanes(unpacked(byId("weights").textContent, model.weightsSize));
    const wasm = unpacked(byId("engine-wasm").textContent, model.engineSize);
    const engine = await ThumbnetEngine.load(weights, { wasm });
    engine.run(new Uint8Array(model.channels * model.height * model.width)); // so that the first picture is not the slowest
    const how = { "wasm-simd": "WebAssembly", javascript: "JavaScript, since this browser has no WebAssembly with SIMD" };
    byId("kind").textContent = `The network runs here, in ${how[engine.kind]}.`;
    return engine;
  }
  const ready = load();
  ready.catch((error) => warn(`The network could not be started: ${error.message}`));

  /** An answer to a file's Blob, or to a camera's ImageData. */
  async function answerTo(source, { name, truth }) {
    const engine = await ready;
    const began = performance.now();
    const isFrame = source instanceof ImageData;
    const { pixels } = isFrame ? ThumbnetPictures.fromPixels(source, shape) : await ThumbnetPictures.read(source, shape);
    const read = performance.now();
    const { probabilities, map } = engine.run(pixels);
    const runMs = performance.now() - read;
    const first = probabilities.indexOf(Math.max(...probabilities));
    window.thumbnetLast = {
      name, className: model.classes[first], probabilities: [...probabilities], map: [...map(first)], kind: engine.kind, runMs,
    };
    return { name, truth, pixels, probabilities, map, runMs, readMs: read - began };
  }

  let queue = Promise.resolve();
  let numWaiting = 0;

  function sayBusy() {
    byId("busy").hidden = numWaiting < 2;
    byId("busy").textContent = `${numWaiting} pictures to go`;
  }

  /** Answer pictures, one after the other; one that cannot be read is reported and the others go on. */
  function take(pictures) {
    problems.replaceChildren();
    numWaiting += pictures.length;
    sayBusy();
    queue = queue.then(async () => {
      for (const { source, name, truth } of pictures) {
        try {
          said.textContent = results.add(await answerTo(source, { name, truth })).sentence;
        } catch (error) {
          complain(`${name} was left out. ${error.message}`);
        }
        numWaiting -= 1;
        sayBusy();
        await breathe();
      }
      byId("list").firstElementChild?.scrollIntoView({ block: "nearest" });
    });
    return queue;
  }

  const named = (files) => [...files].map((file) => ({ source: file, name: file.name || "picture" }));

  byId("file").addEventListener("change", ({ target }) => {
    const pictures = named(target.files);
    target.value = ""; // so that the same file can be chosen again
    if (pictures.length) take(pictures);
  });

  let depth = 0; // elements entered less those left
  const drag = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", () => drag(1));
  document.addEventListener("dragleave", () => drag(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drag(-depth);
    const pictures = named(event.dataTransfer.files);
    problems.replaceChildren();
    if (pictures.length) take(pictures);
    else complain("What was dropped is no file. This page fetches nothing: save the picture first, then drop its file.");
  });

  document.addEventListener("paste", (event) => {
    const pictures = named(event.clipboardData.files);
    problems.replaceChildren();
    if (pictures.length) take(pictures);
    else complain("The clipboard holds no picture.");
  });
  byId("clear").addEventListener("click", () => byId("file").focus());

  byId("paste").hidden = !navigator.clipboard?.read;
  byId("paste").addEventListener("click", async () => {
    problems.replaceChildren();
    try {
      const items = await navigator.clipboard.read();
      const found = items.flatMap((item) => item.types.filter((type) => type.startsWith("image/")).map((type) => item.getType(type)));
      const blobs = await Promise.all(found.slice(0, 1));
      if (blobs.length) await take(blobs.map((blob) => ({ source: blob, name: "pasted picture" })));
      else complain("The clipboard holds no picture.");
    } catch (error) {
      complain(`The clipboard cannot be read: ${error.message}`);
    }
  });

  byId("samples")?.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-sample]");
    if (!button) return;
    const url = button.querySelector("img").src;
    const blob = new Blob([ThumbnetBytes.from64(url.slice(url.indexOf(",") + 1))], { type: "image/webp" });
    const index = +button.dataset.sample;
    take([{ source: blob, name: `test picture ${index + 1}`, truth: model.sampleLabels[index] }]);
  });

  function camera() {
    const video = byId("camera").querySelector("video");
    const startButton = byId("camera-start");
    let running = null;
    let live = null;
    let lastSaid = "";
    video.style.aspectRatio = `${model.width} / ${model.height}`;
    ThumbnetCamera.hasCamera().then((isThere) => (startButton.hidden = !isThere));
    const onFrame = async (frame) => {
      const answer = await answerTo(frame, { name: "camera" });
      if (!running) return; // it was stopped meanwhile
      live = results.live(answer, live);
      if (live.name !== lastSaid) said.textContent = live.sentence;
      lastSaid = live.name;
    };
    const onEnd = () => {
      const hadFocus = byId("camera").contains(document.activeElement);
      byId("camera").hidden = true;
      startButton.hidden = false;
      live = results.live(null, live);
      running = null;
      if (hadFocus) startButton.focus();
    };
    startButton.addEventListener("click", async () => {
      problems.replaceChildren();
      startButton.disabled = true;
      try {
        await ready;
        byId("camera").hidden = false;
        running = await ThumbnetCamera.start(video, { onFrame, onEnd });
        startButton.hidden = true;
        byId("camera-stop").focus();
      } catch (error) {
        byId("camera").hidden = true;
        complain(ThumbnetCamera.explain(error));
      }
      startButton.disabled = false;
    });
    byId("camera-stop").addEventListener("click", () => running?.stop());
    byId("camera-keep").addEventListener("click", () => {
      if (running) take([{ source: running.frame(), name: "picture of the camera" }]);
    });
  }
  camera();

  window.thumbnetReady = ready.then(() => true);
  window.thumbnetIdle = () => queue;
})(window, document);
