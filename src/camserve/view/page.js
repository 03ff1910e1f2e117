(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [file, first, second, opacity] = ["file", "first", "second", "opacity"].map(byId);
  const [errors, status, drop, answers] = ["error", "status", "drop", "answers"].map(byId);
  const LABELS_FOUND = 8;
  const AGAIN_AFTER = 2000; // milliseconds

  let chosen = null; // the file that is shown, or will be
  let panels = [];
  let running = null; // what aborts the request in progress
  let waiting = null;
  let unanswered = false; // whether the chosen image waits for the server to come back
  const descriptions = new Map();

  // Texts

  function message({ message: text, hint }) {
    const shown = [element("p", {}, element("b", {}, text))];
    if (hint) shown.push(element("p", { className: "faint" }, hint));
    return shown;
  }

  function showError(error) {
    const again = element("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => (chosen ? classify() : connect()));
    errors.replaceChildren(element("div", { className: "note" }, ...message(error), again));
    status.textContent = "";
  }

  function valueText(value, percent) {
    return percent ? `${(100 * value).toFixed(1)}%` : Number(value.toPrecision(4)).toString();
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

  function choose(found) {
    if (!found) {
      showError({ message: "there is no image file in what was dropped or pasted", hint: "Save the image, then choose its file" });
    } else if (found.size > data.max_bytes) {
      showError({
        message: `${found.name} has more than ${data.max_bytes.toLocaleString("en")} bytes`,
        hint: "Reduce it, or raise the limit: camserve view --max-bytes N",
      });
    } else {
      chosen = found;
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
      const answer = await request(`classify?${query}`, { method: "POST", body: image, signal: abort.signal });
      if (answer.answers.every((each) => "error" in each)) throw answer.answers[0].error;
      const described = await Promise.all(answer.answers.map((each) => ("error" in each ? null : describe(each.version))));
      const pixels = await decode(answer.image);
      if (running !== abort) return;
      show(image, answer, described, pixels);
    } catch (failure) {
      if (failure.name === "AbortError" || running !== abort) return;
      showError(failure);
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
    panels = answer.answers.map((each, place) => new Panel(each, described[place], image, pixels));
    answers.querySelectorAll(".panels").forEach((each) => each.remove());
    answers.append(element("div", { className: `panels of${panels.length}` }, ...panels.map((panel) => panel.root)));
    answers.hidden = false;
    drop.classList.add("small");
    const best = panels.filter((panel) => panel.best).map((panel) => `version ${panel.version}: ${panel.best}`);
    status.textContent = [`${image.name} (${width} × ${height} pixels)`, ...best].join("; ");
  }

  // The answer of one version

  class Panel {
    constructor(answer, description, image, pixels) {
      this.version = answer.version;
      this.root = element("article", { className: "panel", "aria-label": `Version ${answer.version}` },
        element("h3", {}, `Version ${answer.version}`));
      if ("error" in answer) {
        this.root.append(element("div", { className: "note" }, ...message(answer.error)));
        return;
      }
      this.image = image;
      this.pixels = pixels;
      this.description = description;
      this.classes = answer.classes;
      this.maps = new Map(answer.maps.map((map) => [map.index, map]));
      const [best] = answer.classes;
      this.best = `${best.label} ${valueText(best.probability, description.percent)}`;
      this.build();
      this.select(best.index, { follow: false });
    }

    build() {
      const { width, height } = this.pixels;
      this.canvas = element("canvas", { width, height, role: "img" });
      this.context = this.canvas.getContext("2d");
      this.frame = element("div", { className: "frame" }, this.canvas);
      this.caption = element("figcaption", { className: "faint" });
      this.list = element("fieldset", { className: "classes" }, element("legend", {}, "Classes"));
      this.problem = element("div", { role: "alert" });
      for (const each of this.classes) this.list.append(this.row(each));
      const text = element("div", { className: "text" }, this.list, this.problem);
      if (this.description.maps?.all_classes) text.append(this.search());
      this.root.append(element("div", { className: "sides" }, element("figure", {}, this.frame, this.caption), text));
    }

    row({ index, label, identifier, probability }) {
      const { percent } = this.description;
      const choice = this.description.maps ? this.radio(index) : "";
      const row = element(choice ? "label" : "div", { title: identifier ? `${identifier}, class ${index}` : `class ${index}` },
        choice, element("bdi", {}, label), element("span", { className: "value" }, valueText(probability, percent)));
      if (percent) {
        const bar = element("i", { "aria-hidden": "true" });
        bar.style.setProperty("--width", `${Math.min(100, Math.max(0, 100 * probability))}%`);
        row.append(bar);
      }
      return row;
    }

    radio(index) {
      const radio = element("input", { type: "radio", name: `class of ${this.version}`, value: index });
      radio.disabled = !this.canShow(index);
      radio.addEventListener("change", () => this.select(index, { follow: true }));
      return radio;
    }

    canShow(index) {
      return this.maps.has(index) || Boolean(this.description.maps?.all_classes);
    }

    // Any class, found by a part of its label
    search() {
      const found = element("ul", { className: "found" });
      const input = element("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "part of a label" });
      input.addEventListener("input", () => {
        const wanted = input.value.trim().toLowerCase();
        const matches = wanted === "" ? [] : this.description.labels
          .map((label, index) => ({ label, index }))
          .filter(({ label }) => label.toLowerCase().includes(wanted))
          .slice(0, LABELS_FOUND);
        found.replaceChildren(...matches.map(({ label, index }) => {
          const button = element("button", { type: "button" }, element("bdi", {}, label));
          button.addEventListener("click", () => this.select(index, { follow: true }));
          return element("li", {}, button);
        }));
        if (wanted !== "" && !matches.length) found.append(element("li", { className: "faint" }, "no such class"));
      });
      return element("div", { className: "search" }, element("label", {}, element("span", {}, "Map of any class"), input), found);
    }

    async select(index, { follow }) {
      this.wanted = index;
      this.problem.replaceChildren();
      if (follow) for (const other of panels) if (other !== this) other.selectLabel(this.description.labels[index]);
      if (!this.maps.has(index) && this.canShow(index)) {
        try {
          const query = new URLSearchParams({ version: this.version, class: index });
          const map = await request(`map?${query}`, { method: "POST", body: this.image });
          this.maps.set(index, map);
          if (!this.classes.some((each) => each.index === index)) {
            this.classes.push(map);
            this.list.append(this.row(map));
          }
        } catch (failure) {
          this.problem.replaceChildren(element("div", { className: "note" }, ...message(failure)));
        }
        if (this.wanted !== index) return;
      }
      const radio = this.list.querySelector(`[value="${index}"]`);
      if (radio && !radio.disabled) radio.checked = true;
      this.map = this.maps.get(index);
      this.values = this.map && drawing.scaled(this.map.grid, this.map.box);
      this.draw();
      this.describeMap();
    }

    selectLabel(label) {
      const index = this.description?.labels.indexOf(label) ?? -1;
      if (index >= 0 && this.canShow(index)) this.select(index, { follow: false });
    }

    draw() {
      if (!this.context) return;
      const shown = this.map
        ? drawing.overlay(this.pixels, this.values, this.map.box, Number(opacity.value) / 100, data.colors)
        : this.pixels;
      this.context.putImageData(shown, 0, 0);
    }

    describeMap() {
      const { width, height } = this.pixels;
      this.frame.querySelector(".box")?.remove();
      const { map } = this;
      if (!map) {
        this.canvas.ariaLabel = "The image";
        this.caption.textContent = "This model returns no maps.";
        return;
      }
      const [left, top, right, bottom] = map.box;
      const whole = left === 0 && top === 0 && right === width && bottom === height;
      this.canvas.ariaLabel = `The image, with the map of class ${map.label}`;
      const method = this.description.maps.method === "linear" ? "" : ` (${this.description.maps.method})`;
      this.caption.replaceChildren("Map of ", element("bdi", {}, map.label), method,
        whole ? "" : "; the model received the marked part");
      if (whole) return;
      const box = element("div", { className: "box", "aria-hidden": "true" });
      box.style.setProperty("left", `${(100 * left) / width}%`);
      box.style.setProperty("top", `${(100 * top) / height}%`);
      box.style.setProperty("width", `${(100 * (right - left)) / width}%`);
      box.style.setProperty("height", `${(100 * (bottom - top)) / height}%`);
      this.frame.append(box);
    }
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
