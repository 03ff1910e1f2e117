(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [file, first, second, opacity] = ["file", "first", "second", "opacity"].map(byId);
  const [errors, status, drop, answers] = ["error", "status", "drop", "answers"].map(byId);
  const AGAIN_AFTER = 2000; // milliseconds

  let chosen = null; // the name and the bytes of the image that is shown, or will be
  let panels = [];
  let running = null; // what aborts the request in progress
  let waiting = null;
  let unanswered = false; // whether the chosen image waits for the server to come back
  const descriptions = new Map();
  const colors = Uint8Array.from(data.colors.flat());
  const shared = { request, opacity: () => Number(opacity.value) / 100, colors, panels: () => panels };

  // Errors

  function showError(error) {
    status.textContent = "";
    if (errors.textContent.includes(error.message)) return; // it is announced once, not at every attempt
    const note = element("div", { className: "note" }, ...Panel.message(error));
    if (error.type && error.type !== "ImageError") {
      const again = element("button", { type: "button" }, "Try again");
      again.addEventListener("click", () => (chosen ? classify() : connect()));
      note.append(again);
    }
    errors.replaceChildren(note);
  }

  // Requests

  async function request(path, options) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (failure) {
      if (failure.name === "AbortError") throw failure;
      throw { type: "ConnectionFailedError", message: "camserve view does not answer", hint: "Start it again" };
    }
    const answer = await response.json();
    if (!response.ok) throw answer.error;
    return answer;
  }

  const mayComeBack = ({ type }) => ["ConnectionFailedError", "NotLoadedError"].includes(type);

  async function describe(version) {
    if (!descriptions.has(version)) {
      descriptions.set(version, await request(`version?version=${encodeURIComponent(version)}`));
    }
    return descriptions.get(version);
  }

  // The versions

  function fill(select, versions, none) {
    const before = select.value;
    const options = versions.map((version, place) => element(
      "option", { value: version }, place === 0 ? `${version} (newest)` : version));
    select.replaceChildren(...(none ? [element("option", { value: "" }, "none")] : []), ...options);
    select.value = versions.includes(before) ? before : (none ? "" : versions[0]);
  }

  async function loadVersions() {
    const { versions } = await request("model");
    fill(first, versions, false);
    fill(second, versions, true);
    second.disabled = versions.length < 2;
    second.title = second.disabled ? "The server serves one version of this model" : "";
  }

  const versions = () => [...new Set([first.value, second.value])].filter((version) => version !== "");

  // Until the server answers again, it is asked every few seconds.
  async function connect() {
    clearTimeout(waiting);
    try {
      await loadVersions();
      errors.replaceChildren();
      if (unanswered) classify();
    } catch (failure) {
      showError(failure);
      if (mayComeBack(failure)) waiting = setTimeout(connect, AGAIN_AFTER);
    }
  }

  // An image

  async function choose(found) {
    if (!found) {
      showError({ message: "what was dropped or pasted is no file", hint: "Save the image, then choose its file" });
    } else if (found.size > data.max_bytes) {
      showError({
        message: `${found.name} has more than ${data.max_bytes.toLocaleString("en")} bytes`,
        hint: "Reduce it, or raise the limit: camserve view --max-bytes N",
      });
    } else {
      try {
        chosen = { name: found.name, bytes: await found.arrayBuffer() };
      } catch {
        showError({ message: `${found.name} cannot be read`, hint: "Choose a file that is not a folder" });
        return;
      }
      classify();
    }
  }

  async function classify() {
    running?.abort();
    clearTimeout(waiting);
    const abort = new AbortController();
    running = abort;
    const image = chosen;
    unanswered = false;
    errors.replaceChildren();
    status.textContent = `Classifying ${image.name}`;
    answers.setAttribute("aria-busy", "true");
    try {
      await loadVersions();
      const query = new URLSearchParams(versions().map((version) => ["version", version]));
      const answer = await request(`classify?${query}`, { method: "POST", body: image.bytes, signal: abort.signal });
      if (answer.answers.every((each) => "error" in each)) throw answer.answers[0].error;
      const described = await Promise.all(
        answer.answers.map((each) => ("error" in each ? null : describe(each.version))));
      const pixels = await decode(answer.image);
      if (running !== abort) return;
      show(image, answer, described, pixels);
    } catch (failure) {
      if (failure.name === "AbortError" || running !== abort) return;
      panels = [];
      answers.hidden = true; // they are those of another image
      showError(failure.type === "ImageError" ? { ...failure, message: `${image.name}: ${failure.message}` } : failure);
      unanswered = mayComeBack(failure);
      if (unanswered) waiting = setTimeout(connect, AGAIN_AFTER);
    } finally {
      if (running === abort) answers.removeAttribute("aria-busy");
    }
  }

  async function decode({ source, size: [width, height] }) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, width, height);
  }

  function show(image, answer, described, pixels) {
    const [width, height] = answer.image.original;
    panels = answer.answers.map((each, place) => new Panel(each, described[place], { image, pixels, ...shared }));
    answers.querySelectorAll(".panels").forEach((each) => each.remove());
    answers.append(element("div", { className: `panels of${panels.length}` }, ...panels.map((panel) => panel.root)));
    answers.hidden = false;
    drop.classList.add("small");
    const best = panels.filter((panel) => panel.best).map((panel) => `version ${panel.version}: ${panel.best}`);
    status.textContent = [`${image.name} (${width} × ${height} pixels)`, ...best].join("; ");
  }

  // Choosing, dropping and pasting

  const imageIn = (transfer) => [...(transfer?.files ?? [])][0];

  file.addEventListener("change", () => {
    if (file.files.length) choose(file.files[0]);
    file.value = ""; // so that the same file can be chosen again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    choose(imageIn(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const found = imageIn(event.clipboardData);
    if (found) choose(found);
    else if (event.target.tagName !== "INPUT") choose(null);
  });

  // Settings

  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  let drawn = 0;
  opacity.addEventListener("input", () => {
    cancelAnimationFrame(drawn);
    drawn = requestAnimationFrame(() => panels.forEach((panel) => panel.draw()));
  });
  for (const select of [first, second]) select.addEventListener("change", () => chosen && classify());
  addEventListener("focus", () => { if (!errors.hasChildNodes()) loadVersions().catch(() => {}); });

  connect();
})();
