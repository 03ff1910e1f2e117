// The answer of one version: its classes, and the map of one of them over the image.
class Panel {
  static LABELS_FOUND = 8;

  // page: the image, its bytes and its pixels; how to send a request; the opacity, the colors, and all panels.
  constructor(answer, description, page) {
    this.page = page;
    this.version = answer.version;
    this.root = element("article", { className: "panel", "aria-label": `Version ${answer.version}` },
      element("h3", {}, `Version ${answer.version}`));
    if ("error" in answer) {
      this.root.append(element("div", { className: "note" }, ...Panel.message(answer.error)));
      return;
    }
    this.description = description;
    this.classes = answer.classes;
    this.maps = new Map(answer.maps.map((map) => [map.index, map]));
    const [best] = answer.classes;
    this.best = `${best.label} ${Panel.valueText(best.probability, description.percent)}`;
    this.build();
    this.select(best.index, { follow: false });
  }

  static message({ message: text, hint }) {
    const shown = [element("p", {}, element("b", {}, text))];
    if (hint) shown.push(element("p", { className: "faint" }, hint));
    return shown;
  }

  static valueText(value, percent) {
    return percent ? `${(100 * value).toFixed(1)}%` : Number(value.toPrecision(4)).toString();
  }

  build() {
    const { width, height } = this.page.pixels;
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
    const title = identifier ? `${identifier}, class ${index}` : `class ${index}`;
    const value = element("span", { className: "value" }, Panel.valueText(probability, percent));
    const row = element(choice ? "label" : "div", { title }, choice, element("bdi", {}, label), value);
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
    const input = element("input", { type: "search", autocomplete: "off", placeholder: "part of a label" });
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      const matches = wanted === "" ? [] : this.description.labels
        .map((label, index) => ({ label, index }))
        .filter(({ label }) => label.toLowerCase().includes(wanted))
        .slice(0, Panel.LABELS_FOUND);
      found.replaceChildren(...matches.map(({ label, index }) => {
        const button = element("button", { type: "button" }, element("bdi", {}, label));
        button.addEventListener("click", () => this.select(index, { follow: true }));
        return element("li", {}, button);
      }));
      if (wanted !== "" && !matches.length) found.append(element("li", { className: "faint" }, "no such class"));
    });
    const label = element("label", {}, element("span", {}, "Map of any class"), input);
    return element("div", { className: "search" }, label, found);
  }

  async select(index, { follow }) {
    this.wanted = index;
    this.problem.replaceChildren();
    const others = follow ? this.page.panels().filter((panel) => panel !== this) : [];
    for (const other of others) other.selectLabel(this.description.labels[index]);
    if (!this.maps.has(index) && this.canShow(index)) {
      try {
        await this.loadMap(index);
      } catch (failure) {
        if (this.wanted !== index) return;
        this.problem.replaceChildren(element("div", { className: "note" }, ...Panel.message(failure)));
        if (this.map) this.check(this.map.index);
        return;
      }
      if (this.wanted !== index) return;
    }
    this.check(index);
    this.map = this.maps.get(index);
    this.values = this.map && drawing.scaled(this.map.grid, this.map.box);
    this.draw();
    this.describeMap();
  }

  async loadMap(index) {
    const query = new URLSearchParams({ version: this.version, class: index });
    const map = await this.page.request(`map?${query}`, { method: "POST", body: this.page.image.bytes });
    this.maps.set(index, map);
    if (!this.classes.some((each) => each.index === index)) {
      this.classes.push(map);
      this.list.append(this.row(map));
    }
  }

  check(index) {
    const radio = this.list.querySelector(`[value="${index}"]`);
    if (radio && !radio.disabled) radio.checked = true;
  }

  selectLabel(label) {
    const index = this.description?.labels.indexOf(label) ?? -1;
    if (index >= 0 && this.canShow(index)) this.select(index, { follow: false });
  }

  draw() {
    if (!this.context) return;
    const shown = this.map
      ? drawing.overlay(this.page.pixels, this.values, this.map.box, this.page.opacity(), this.page.colors)
      : this.page.pixels;
    this.context.putImageData(shown, 0, 0);
  }

  describeMap() {
    const { width, height } = this.page.pixels;
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
