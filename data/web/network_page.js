/** The page of a network: its numbers are changed, and all that follows from them is shown, or marked, at once. */

const [MAX_LINES, MAX_WRITTEN, POINTS, PIXELS] = [40, 20, 80, 8]; // PIXELS to drag for 1/10

class NetworkPage {
  /** @param {Sheet} sheet */
  constructor(sheet) {
    this.sheet = sheet;
    this.form = byId("sheet");
    this.fields = /** @type {HTMLInputElement[]} */ (all("[data-number]"));
    this.losses = /** @type {number[]} */ ([]); // before each step of descent that was taken
    this.values = /** @type {Values} */ ({});
    this.conventions = [{ atZero: "", values: this.values }];
    /** @type {Record<string, (event: any) => void>} */
    const listeners = {
      submit: (event) => event.preventDefault(),
      reset: () => setTimeout(() => this.update()),
      focusin: ({ target }) => this.choose(target.name),
      input: ({ target }) => this.update(target.dataset.answer ? this.losses : []),
      click: ({ target }) => this.descend(Number(target.dataset.steps ?? 0)),
      keydown: ({ target, key }) => this.move(target, Number(key === "ArrowUp") - Number(key === "ArrowDown")),
      pointerdown: (event) => this.drag(event),
      hashchange: () => this.restore(),
    };
    for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
    this.restore();
  }

  /** Take the numbers of a link. */
  restore() {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (name === "chosen") this.choose(value);
      else if (this.field(name)) this.field(name).value = value;
    }
    this.update();
  }

  /** @param {string} name @returns {any} a field, or all radio buttons of this name; null if there is none */
  field(name) {
    return this.form.elements.namedItem(name);
  }

  /** Explain a weight or bias; nothing else is explained. @param {string} name of its field */
  choose(name) {
    if (!/^w\./.test(name) || !this.field(name)) return;
    this.field("chosen").value = name;
    this.update(this.losses);
  }

  /** Add so many tenths to a number. @param {HTMLInputElement} field @param {number} tenths */
  move(field, tenths, start = parseNumber(field.value ?? "")) {
    if (!tenths || !start || !("number" in field.dataset)) return;
    field.value = this.exactly(add(start, fraction(BigInt(tenths), 10n)));
    this.update();
  }

  /** @param {any} event */
  drag({ target, clientX }) {
    const field = this.field(target.closest("[data-drag]")?.dataset.drag);
    if (!field) return;
    this.choose(field.name);
    const [start, end] = [parseNumber(field.value), new AbortController()]; // whose signal ends the listeners
    const tenths = (/** @type {PointerEvent} */ event) => Math.round((event.clientX - clientX) / PIXELS);
    addEventListener("pointermove", (event) => this.move(field, tenths(event), start), end);
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => end.abort(), end);
  }

  /** A number for its field: exact, unless that is too long. @param {Value} value */
  exactly(value) {
    const [exact, decimal] = [written(value), String(toFloat(value))];
    const isDecimal = this.sheet.decimals && written(parseNumber(decimal) ?? ZERO) === exact;
    return isDecimal || exact.length > MAX_WRITTEN ? decimal : exact;
  }

  /** @param {Value} value */
  show(value, digits = this.sheet.digits) {
    return shown(value, this.sheet.decimals, digits);
  }

  /** Show everything that follows from the numbers in the fields. @param {number[]} losses of the descent that led here */
  update(losses = []) {
    this.losses = losses;
    const [chosen, atZero] = [this.field("chosen").value, this.field("at_zero")];
    this.form.dataset.mode = this.field("mode").value;
    for (const field of this.fields) field.setCustomValidity(problemOf(parseNumber(field.value)));
    const wrong = this.fields.find((field) => field.validationMessage);
    byId("problem").textContent = wrong ? `${wrong.ariaLabel} ${wrong.validationMessage}.` : "";
    if (wrong) return;
    const given = Object.fromEntries(this.fields.map(({ name, value }) => [name, parseNumber(value) ?? ZERO]));
    const worked = forward(this.sheet.steps, given, this.sheet.isRational);
    const conventions = [...atZero].map(({ value }) => ({ atZero: value, ...this.derive(worked, value) }));
    const taken = conventions[[...atZero].findIndex(({ checked }) => checked)];
    const fits = Object.values(taken.values).every((value) => Number.isFinite(toFloat(value)));
    if (!fits) return fill(byId("problem"), "The values exceed the range of float64 (1.8e308); use smaller numbers.");
    [this.conventions, this.values] = [conventions, taken.values];
    for (const { atZero, values } of conventions) this.values[`at.${atZero}`] = values[`d.${chosen}`];
    this.paint(chosen, this.explain(worked, taken, Number(chosen.slice(2))));
    this.plot(given, chosen);
    for (const { value, dataset, nextElementSibling } of all("[data-answer]")) {
      const text = value.replace(",", ".").trim();
      nextElementSibling.textContent = text && this.verdict(dataset.answer, text);
    }
    byId("link").href = `#${new URLSearchParams(/** @type {any} */ (new FormData(this.form)))}`;
  }

  /** Gradients by a convention for phi'(0), and all values by key. @param {Worked} worked @param {string} atZero */
  derive({ values, links }, atZero) {
    const taken = withConvention(links, parseNumber(atZero) ?? ZERO);
    const [gradients, keyed] = [backward(taken), /** @type {Values} */ ({})];
    const samples = fraction(BigInt(this.sheet.samples));
    this.sheet.steps.forEach(({ key }, place) => {
      [keyed[key], keyed[`d.${key}`]] = [values[place], gradients[place] ?? ZERO];
      if (key.startsWith("z")) keyed[key.replace("z", "delta")] = multiply(samples, keyed[`d.${key}`]);
    });
    return { links: taken, gradients, values: keyed };
  }

  /** Show the chain rule for a number; texts on what the kinks mean for it. @param {Worked} worked @param {ReturnType<NetworkPage["derive"]>} taken @param {number} number */
  explain({ values, links }, taken, number) {
    const [{ steps, trained }, { gradients }] = [this.sheet, taken];
    const lines = [...chain(taken.links, gradients, number)].map(([of, users]) => {
      const terms = users.map(({ place, by, factor, slope }) => {
        let symbol = by === null ? this.show(slope) : `${factor && `${factor} · `}${steps[by].name}`;
        if (steps[place].key.startsWith("a")) symbol = `φ′(${this.show(values[of])})`;
        if (place === steps.length - 1) return [symbol, this.show(slope)];
        return [`∂J/∂${steps[place].name} · ${symbol}`, `${this.show(gradients[place])} · ${this.show(slope)}`];
      });
      const sums = [0, 1].map((i) => terms.map((term) => term[i]).join(" + "));
      return [`∂J/∂${steps[of].name}`, ...new Set([...sums, this.show(gradients[of])])].join(" = ");
    });
    const more = lines.splice(MAX_LINES).length;
    fill(byId("chain"), ...lines.map((line) => element("li", {}, line)), more ? `${more} more` : "");
    const kinks = links.filter(({ isKink }) => isKink).map(({ place }) => steps[place].name);
    const [left, right] = [-1, 1].map((side) => this.show(oneSided(links, number, side)));
    const isStuck = trained.every((place) => sign(gradients[place]) === 0);
    const ways = isStuck ? trained.flatMap((place) => [1, -1].map((side) => ({ place, side }))) : [];
    const way = ways.find(({ place, side }) => sign(oneSided(links, place, side)) === -side);
    const falls = way && `, although J falls where ${steps[way.place].name} ${way.side > 0 ? "grows" : "shrinks"}`;
    const stuck = isStuck ? `All gradients are 0: a step changes nothing${falls ?? ""}.` : "";
    const differ = left === right ? "" : "They differ: J has no derivative in it here.";
    return { chosen: steps[number].name, kinks: kinks.join(", ") || "none", left, right, differ, stuck };
  }

  /** Show all values and these texts, in tables and in the drawing. @param {string} chosen @param {Record<string, string>} texts */
  paint(chosen, texts) {
    for (const element of all("[data-key]")) {
      const { key, prefix } = element.dataset; // prefixes are in the drawing, which has room for 5 digits
      const shown = texts[key] ?? this.show(this.values[key], prefix === undefined ? undefined : 5);
      element.textContent = (prefix ?? "") + shown;
    }
    for (const unit of all("[data-unit]")) {
      const state = ["off", "kink", "on"][1 + sign(this.values[unit.dataset.unit])];
      unit.setAttribute("class", `node unit ${state}`);
      unit.querySelector(".state").textContent = state;
    }
    for (const edge of all("path[data-drag]")) edge.classList.toggle("chosen", edge.dataset.drag === chosen);
  }

  /** Draw J along the chosen number, and after each step of descent. @param {Values} given @param {string} chosen */
  plot(given, chosen) {
    const [middle, J] = [toFloat(given[chosen]), toFloat(this.values.J)];
    const points = Array.from({ length: POINTS + 1 }, (_, i) => {
      const moved = middle + Math.max(2, Math.abs(middle)) * ((2 * i) / POINTS - 1);
      const { values } = forward(this.sheet.steps, { ...given, [chosen]: moved }, false);
      return [moved, toFloat(values[values.length - 1])];
    });
    plot("along", points, [middle, J]);
    byId("history").hidden = !this.losses.length;
    const losses = [...this.losses, J].map((loss, step) => [step, loss]);
    plot("descent", losses, losses[this.losses.length]);
  }

  /** Gradient descent. @param {number} steps */
  descend(steps) {
    for (let step = 0; step < steps && !byId("problem").textContent; step++) {
      const rate = multiply(fraction(-1n), parseNumber(this.field("rate").value) ?? ZERO);
      for (const name of this.sheet.trained.map((place) => `w.${place}`)) {
        this.field(name).value = this.exactly(add(this.values[name], multiply(rate, this.values[`d.${name}`])));
      }
      this.update([...this.losses, toFloat(this.values.J)]);
    }
  }

  /** Right, or what may have gone wrong. @param {string} key @param {string} text */
  verdict(key, text) {
    const typed = parseNumber(text);
    if (!typed || problemOf(typed)) return `✗ ${problemOf(typed)}`;
    const decimals = /\.(\d*)/.exec(text)?.[1].length ?? 0;
    const is = (/** @type {Value} */ value, factor = 1, least = 2) => {
      const [truth, most] = [factor * toFloat(value), decimals < least ? 0 : 0.5 * 10 ** -decimals];
      return Math.abs(toFloat(typed) - truth) <= most + TOLERANCE * Math.abs(truth);
    };
    const truth = this.values[key];
    if (is(truth)) return "✓ right";
    const other = this.conventions.find(({ values }) => is(values[key]));
    if (other) return `✓ right with φ′(0) = ${other.atZero}`;
    if (is(truth, 1, 0)) return "✗ give at least two decimals";
    if (is(truth, -1)) return "✗ check the sign";
    if (is(truth, 2) || is(truth, 0.5)) return "✗ check the factors 2 and ½";
    const mistaken = all("[data-answer]").find(({ dataset }) => is(this.values[dataset.answer]));
    return mistaken && typed.n ? `✗ that is ${mistaken.getAttribute("aria-label")}` : "✗ not yet";
  }
}

/** A line through points, and a dot. @param {string} id @param {number[][]} points @param {number[]} dot */
function plot(id, points, dot) {
  const drawn = points.filter((point) => point.every(Number.isFinite));
  const [x, y] = [0, 1].map((axis) => drawn.map((point) => point[axis]));
  const [left, right, low, high] = [x, y].flatMap((numbers) => [Math.min(...numbers), Math.max(...numbers)]);
  const place = (/** @type {number[]} */ [x, y]) =>
    `${60 + (290 * (x - left)) / (right - left || 1)} ${150 - (120 * (y - low)) / (high - low || 1)}`;
  const picture = byId(id);
  picture.querySelector(".curve").setAttribute("d", `M${drawn.map(place).join("L")}`);
  picture.querySelector(".dot").setAttribute("transform", `translate(${place(dot)})`);
  [left, right, low, high].forEach((end, i) => (picture.querySelectorAll("text")[i].textContent = shown(end, true, 3)));
}

const sheet = new NetworkPage(JSON.parse(byId("data").textContent));
