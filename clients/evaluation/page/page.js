(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("filters");
  const cards = document.getElementById("cards");
  const pressable = [...document.querySelectorAll("[aria-pressed]")];
  const ON_ONE_PAGE = 48;
  const RANKS = { wrong: 0, error: 1, unlabeled: 2, correct: 3 };

  const rows = data.rows.map((row, index) => {
    const [predicted, probability] = row.best[0] ?? [null, null];
    return { ...row, index, predicted, probability, answer: answerOf(row) };
  });
  let page = 0;

  function answerOf(row) {
    if ("error" in row) return "error";
    if (row.truth === null) return "unlabeled";
    return row.best[0][0] === row.truth ? "correct" : "wrong";
  }

  // Filters

  function filters() {
    const scale = data.percent ? 100 : 1;
    const number = (name) => (form[name].value === "" ? null : Number(form[name].value) / scale);
    const choice = (name) => (form[name].value === "" ? null : Number(form[name].value));
    return {
      truth: choice("truth"), predicted: choice("predicted"), answer: form.answer.value,
      low: number("low"), high: number("high"), path: form.path.value.toLowerCase(), order: form.order.value,
    };
  }

  function passes(row, by) {
    return (by.truth === null || row.truth === by.truth)
      && (by.predicted === null || row.predicted === by.predicted)
      && (by.answer === "" || row.answer === by.answer)
      && (by.low === null || (row.probability !== null && (row.probability > by.low || (data.percent && by.low <= 0))))
      && (by.high === null || (row.probability !== null && (row.probability <= by.high || (data.percent && by.high >= 1))))
      && (by.path === "" || row.path.toLowerCase().includes(by.path));
  }

  const descending = (a, b) => (b.probability ?? -Infinity) - (a.probability ?? -Infinity);
  const ascending = (a, b) => (a.probability ?? Infinity) - (b.probability ?? Infinity);
  const last = data.classes.length;
  const ORDERS = {
    "": (a, b) => RANKS[a.answer] - RANKS[b.answer] || (a.answer === "correct" ? ascending(a, b) : descending(a, b)),
    highest: descending,
    lowest: ascending,
    truth: (a, b) => (a.truth ?? last) - (b.truth ?? last),
    predicted: (a, b) => (a.predicted ?? last) - (b.predicted ?? last),
    path: (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0),
    table: () => 0,
  };

  function chosen(by) {
    return rows.filter((row) => passes(row, by)).sort((a, b) => ORDERS[by.order](a, b) || a.index - b.index);
  }

  // How many rows of the table pass, where the confusion matrix tells; otherwise null.
  function inTable(by) {
    const others = by.low !== null || by.high !== null || by.path !== "" || !["", "correct", "wrong"].includes(by.answer);
    if (others || data.total === rows.length || (by.truth === null && by.predicted === null)) return null;
    return data.cells
      .filter(([truth, predicted]) => (by.truth === null || truth === by.truth)
        && (by.predicted === null || predicted === by.predicted)
        && (by.answer === "" || (by.answer === "correct") === (truth === predicted)))
      .reduce((sum, [, , images]) => sum + images, 0);
  }

  // Drawing

  function valueText(value) {
    if (value === null) return "–";
    return data.percent ? `${(100 * value).toFixed(1)}%` : Number(value.toPrecision(4)).toString();
  }

  function photo(row) {
    if (!("image" in row)) {
      return element("div", { className: "photo" }, element("p", { className: "absent" }, `No image: ${row.problem}`));
    }
    const [width, height] = row.size;
    const frame = element("div", { className: "frame" }, element("img", {
      src: row.image, alt: row.path.split("/").pop(), className: row.exact ? "exact" : "", decoding: "async",
    }));
    frame.style.setProperty("--ratio", String(width / height));
    if ("map" in row) {
      const map = element("img", { src: row.map, alt: "", className: "map" });
      [map.style.left, map.style.top, map.style.width, map.style.height] = row.place.map((share) => `${share}%`);
      frame.append(map);
    }
    return element("div", { className: "photo" }, frame);
  }

  function bestClasses(row) {
    const list = element("ol", { className: "top", "aria-label": "Most probable classes" });
    for (const [number, value] of row.best) {
      const name = data.classes[number];
      const entry = element("li", number === row.truth ? { className: "true" } : {},
        element("bdi", { title: name }, name), element("span", { className: "value" }, valueText(value)));
      if (data.percent) {
        const bar = element("i", { "aria-hidden": "true" });
        bar.style.setProperty("--width", `${Math.min(100, Math.max(0, 100 * value))}%`);
        entry.append(bar);
      }
      list.append(entry);
    }
    return list;
  }

  function card(row) {
    const truth = row.truth === null ? ["no true label"] : ["true: ", element("bdi", {}, data.classes[row.truth])];
    const verdict = { correct: "✓ correct", wrong: "✗ wrong", error: "! error", unlabeled: "? not evaluated" }[row.answer];
    const text = element("div", { className: "text" },
      element("p", { className: "verdict" }, element("b", {}, verdict), element("span", {}, ...truth)));
    text.append("error" in row ? element("p", { className: "message" }, row.error) : bestClasses(row));
    text.append(element("p", { className: "path" }, element("bdi", {}, row.path)));
    return element("li", { className: `card ${row.answer}` }, photo(row), text);
  }

  function draw() {
    const by = filters();
    const found = chosen(by);
    const pages = Math.max(1, Math.ceil(found.length / ON_ONE_PAGE));
    page = Math.min(page, pages - 1);
    const first = page * ON_ONE_PAGE;
    const shown = found.slice(first, first + ON_ONE_PAGE);
    cards.replaceChildren(...shown.map(card));
    const total = inTable(by);
    document.getElementById("status").textContent =
      `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} images`
      + (total === null ? "" : ` (${total.toLocaleString("en")} such rows in the table)`);
    for (const pager of document.querySelectorAll(".pager")) {
      pager.hidden = pages === 1;
      pager.querySelector(".range").textContent = `${first + 1}–${first + shown.length}`;
      for (const button of pager.querySelectorAll("button")) {
        const target = page + Number(button.dataset.step);
        button.disabled = target < 0 || target >= pages;
      }
    }
    for (const control of pressable) control.setAttribute("aria-pressed", String(isPressed(control)));
  }

  // The address keeps the filters, so that a view can be bookmarked and passed on.

  const IN_ADDRESS = ["truth", "predicted", "answer", "low", "high", "path", "order"];
  const isClass = (name) => name === "truth" || name === "predicted";

  function writeAddress() {
    const state = new URLSearchParams();
    for (const name of IN_ADDRESS) {
      const value = form[name].value;
      if (value !== "") state.set(name, isClass(name) ? data.classes[Number(value)] : value);
    }
    if (page) state.set("page", String(page + 1));
    history.replaceState(null, "", `#${state}`);
  }

  function readAddress() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of IN_ADDRESS) {
      const value = state.get(name) ?? "";
      const number = isClass(name) ? data.classes.indexOf(value) : -1;
      form[name].value = isClass(name) ? (number < 0 ? "" : String(number)) : value;
      if (form[name].selectedIndex === -1) form[name].value = "";
    }
    page = Math.max(0, (Number.parseInt(state.get("page") ?? "1", 10) || 1) - 1);
    draw();
  }

  function changed() {
    page = 0;
    draw();
    writeAddress();
  }

  // Cells, bars and classes that filter

  function wanted(control) {
    const { truth, predicted, low, high } = control.dataset;
    return truth === undefined ? { low, high } : { truth, predicted: predicted ?? "" };
  }

  function isPressed(control) {
    return Object.entries(wanted(control)).every(([name, value]) => form[name].value === value);
  }

  function press(control) {
    const release = isPressed(control);
    for (const [name, value] of Object.entries(wanted(control))) form[name].value = release ? "" : value;
    form.answer.value = "";
    changed();
    if (!release) {
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      document.getElementById("images").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    }
  }

  for (const control of pressable) {
    control.addEventListener("click", () => press(control));
    if (control.tagName === "BUTTON") continue;
    control.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      press(control);
    });
  }

  // The matrix is one stop of the Tab key; arrow keys move inside it.

  for (const matrix of document.querySelectorAll(".matrix")) {
    const grid = [...matrix.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.querySelector("button")));
    const buttons = grid.flat().filter(Boolean);
    buttons.forEach((button, place) => { button.tabIndex = place ? -1 : 0; });
    matrix.addEventListener("focusin", ({ target }) => {
      for (const button of buttons) button.tabIndex = button === target ? 0 : -1;
    });
    matrix.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      let row = grid.findIndex((line) => line.includes(event.target));
      if (!step || row < 0) return;
      event.preventDefault();
      let column = grid[row].indexOf(event.target);
      do {
        row += step[0];
        column += step[1];
      } while (grid[row]?.[column] === null);
      grid[row]?.[column]?.focus();
    });
  }

  // The table of classes

  for (const heading of document.querySelectorAll(".classes thead th")) {
    heading.addEventListener("click", () => {
      const body = heading.closest("table").tBodies[0];
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const key = (row) => row.cells[heading.cellIndex].dataset.value;
      const isNumber = heading.cellIndex > 0;
      const compare = (a, b) => (isNumber ? key(a) - key(b) : key(a).localeCompare(key(b), "en", { numeric: true }));
      body.replaceChildren(...[...body.rows].sort((a, b) => sign * compare(a, b)));
      for (const each of heading.parentElement.cells) each.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    });
  }

  // Start

  for (const name of ["truth", "predicted"]) {
    const counts = new Map();
    for (const row of rows) counts.set(row[name], (counts.get(row[name]) ?? 0) + 1);
    data.classes.forEach((label, number) => {
      form[name].append(element("option", { value: String(number) }, `${label} (${counts.get(number) ?? 0})`));
    });
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(changed));
  for (const button of document.querySelectorAll(".pager button")) {
    button.addEventListener("click", () => {
      page += Number(button.dataset.step);
      draw();
      writeAddress();
      if (button.closest(".bar") === null) document.getElementById("images").scrollIntoView();
    });
  }
  const maps = document.getElementById("maps");
  maps?.addEventListener("input", () => cards.classList.toggle("without-maps", !maps.checked));
  document.getElementById("opacity")?.addEventListener("input", ({ target }) => {
    cards.style.setProperty("--opacity", String(target.value / 100));
  });
  addEventListener("hashchange", readAddress);
  readAddress();
})();
