/** The page of a network: its numbers are changed, and all that follows from them is shown, or marked, at once. */

const [MAX_LINES, MAX_WRITTEN, POINTS, PIXELS] = [40, 20, 80, 8]; // PIXELS to drag for 1/10
const HINT = "is not a number: write 2, -0.5 or 1/3";
const STATES = ["off", "kink", "on"];

class NetworkPage {
  /** @param {Sheet} sheet */
  constructor(sheet) {
    this.sheet = sheet;
    this.form = byId("sheet");
    this.losses = /** @type {number[]} */ ([]); // before each step of descent that was taken
    this.values = /** @type {Values} */ (new Map());
    this.conventions = [{ atZero: "", values: this.values }];
    /** @type {Record<string, (event: any) => void>} */
    const listeners = {
      submit: (event) => event.preventDefault(),
      reset: () => setTimeout(() => this.changed()),
      focusin: ({ target }) => this.choose(target.name),
      input: ({ target }) => (target.dataset.answer ? this.mark(target) : this.changed()),
      click: ({ target }) => this.descend(Number(target.dataset.steps ?? 0)),
      keydown: ({ target, key }) => this.move(target, Number(key === "ArrowUp") - Number(key === "ArrowDown")),
      pointerdown: (event) => this.drag(event),
    };
    for (const [name, listener] of Object.entries(listeners)) this.form.addEventListener(name, listener);
    addEventListener("hashchange", () => this.restore());
    this.restore();
  }

  /** Take the numbers of a link. */
  restore() {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (name === "chosen") this.choose(value);
      else if (this.field(name)) this.field(name).value = value;
    }
    this.changed();
  }

  /** @param {string} name @returns {any} a field, or all radio buttons of this name; null if there is none */
  field(name) {
    return this.form.elements.namedItem(name);
  }

  /** Explain a weight or bias; nothing else is explained. @param {string} name of its field */
  choose(name) {
    if (!/^w\./.test(name) || !this.field(name)) return;
    this.field("chosen").value = name;
    this.update();
  }

  /** Add so many tenths to a number. @param {HTMLInputElement} field @param {number} tenths */
  move(field, tenths, start = parseNumber(field.value ?? "")) {
    if (!tenths || !start || !("number" in field.dataset)) return;
    field.value = this.exactly(FRACTIONS.add(start, fraction(BigInt(tenths), 10n)));
    this.changed();
  }

  /** @param {any} event */
  drag({ target, clientX }) {
    const field = this.field(target.closest("[data-drag]")?.dataset.drag);
    if (!field) return;
    this.choose(field.name);
    const start = parseNumber(field.value);
    const move = (/** @type {PointerEvent} */ event) =>
      this.move(field, Math.round((event.clientX - clientX) / PIXELS), start);
    const end = new AbortController();
    addEventListener("pointermove", move, { signal: end.signal });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => end.abort(), { signal: end.signal });
  }

  /** A number for its field: exact, unless that is too long. @param {Fraction} value */
  exactly(value) {
    const [exact, decimal] = [written(value), String(toFloat(value))];
    const isDecimal = this.sheet.decimals && written(FRACTIONS.near(toFloat(value))) === exact;
    return isDecimal || exact.length > MAX_WRITTEN ? decimal : exact;
  }

  /** @param {any} value a fraction or a float */
  show(value, digits = this.sheet.digits) {
    return shown(value, this.sheet.decimals, digits);
  }

  /** The numbers were changed, other than by a step of descent. */
  changed() {
    this.losses = [];
    this.update();
  }

  /** Show everything that follows from the numbers in the fields. */
  update() {
    const { steps, isRational } = this.sheet;
    const [mode, chosen, atZero] = ["mode", "chosen", "at_zero"].map((name) => this.field(name));
    const fields = /** @type {HTMLInputElement[]} */ ([...this.form.querySelectorAll("[data-number]")]);
    const given = new Map(fields.map(({ name, value }) => [name, parseNumber(value)]));
    const wrong = fields.filter(({ name }) => !given.get(name));
    for (const field of fields) field.setAttribute("aria-invalid", String(wrong.includes(field)));
    byId("problem").textContent = wrong.length ? `${wrong[0].getAttribute("aria-label")} ${HINT}.` : "";
    this.form.dataset.mode = mode.value;
    if (wrong.length) return;
    const numbers = /** @type {Arithmetic<any>} */ (isRational ? FRACTIONS : FLOATS);
    const calculation = new Calculation(numbers, steps, ({ key }) => numbers.from(asFraction(given.get(key))));
    const conventions = [...atZero].map(({ value }) => ({ atZero: value, values: this.valuesOf(calculation, value) }));
    const values = this.valuesOf(calculation, atZero.value); // the last one, for the chain rule
    if (![...values.values()].every((value) => Number.isFinite(toFloat(value)))) {
      byId("problem").textContent = "Some values are too large for numbers of 64 bits: write smaller numbers.";
      return;
    }
    [this.conventions, this.values] = [conventions, values];
    for (const { atZero, values } of this.conventions) this.values.set(`at.${atZero}`, values.get(`d.${chosen.value}`));
    this.explain(calculation, Number(chosen.value.slice(2)));
    this.paint(numbers, chosen.value);
    this.plot(new Map(fields.map(({ name }) => [name, toFloat(asFraction(given.get(name)))])), chosen.value);
    for (const field of all("[data-answer]")) this.mark(field);
    byId("link").href = `#${new URLSearchParams(/** @type {any} */ (new FormData(this.form)))}`;
  }

  /** Show all values, in tables and in the drawing. @param {Arithmetic<any>} numbers @param {string} chosen */
  paint(numbers, chosen) {
    for (const element of all("[data-key]")) {
      const { key, prefix } = element.dataset; // prefixes are in the drawing, which has room for 5 digits
      const digits = prefix === undefined ? this.sheet.digits : 5;
      element.textContent = (prefix ?? "") + this.show(this.values.get(key), digits);
    }
    for (const unit of all("[data-unit]")) {
      const state = STATES[1 + numbers.sign(this.values.get(unit.dataset.unit))];
      unit.setAttribute("class", `node unit ${state}`);
      unit.querySelector(".state").textContent = state;
    }
    for (const edge of all("path[data-drag]")) edge.classList.toggle("chosen", edge.dataset.drag === chosen);
  }

  /** Draw J along the chosen number, and after each step of descent. @param {Map<string, number>} given @param {string} chosen */
  plot(given, chosen) {
    const [middle, J] = [given.get(chosen) ?? 0, toFloat(this.values.get("J"))];
    const points = Array.from({ length: POINTS + 1 }, (_, i) => {
      const moved = middle + Math.max(2, Math.abs(middle)) * ((2 * i) / POINTS - 1);
      const at = (/** @type {Step} */ { key }) => (key === chosen ? moved : (given.get(key) ?? 0));
      return [moved, new Calculation(FLOATS, this.sheet.steps, at).values.pop() ?? 0];
    });
    plot("along", points, [middle, J]);
    byId("history").hidden = !this.losses.length;
    const losses = [...this.losses, J].map((loss, step) => [step, loss]);
    plot("descent", losses, losses[this.losses.length]);
  }

  /** @param {Calculation<any>} calculation @param {string} atZero phi'(0) */
  valuesOf(calculation, atZero) {
    const { from, near, multiply } = calculation.numbers;
    const gradients = calculation.backward(from(asFraction(parseNumber(atZero))));
    const found = /** @type {Values} */ (new Map());
    this.sheet.steps.forEach(({ key }, place) => {
      found.set(key, calculation.values[place]).set(`d.${key}`, gradients[place]);
      const delta = multiply(near(this.sheet.samples), gradients[place]);
      if (key.startsWith("z")) found.set(key.replace("z", "delta"), delta);
    });
    return found;
  }

  /** The chain rule for a number, and what the kinks mean for it. @param {Calculation<any>} calculation @param {number} number */
  explain(calculation, number) {
    const { steps, trained } = this.sheet;
    const { numbers, gradients, values, kinks } = calculation;
    const lines = [...calculation.chain(number)].map(([of, users]) => {
      const terms = users.map(({ place, slope, factor, by }) => {
        let symbol = by === null ? this.show(slope) : `${factor && `${factor} · `}${steps[by].name}`;
        if (steps[place].key.startsWith("a")) symbol = `φ′(${this.show(values[of])})`;
        const [before, gradient] = [`∂J/∂${steps[place].name} · `, `${this.show(gradients[place])} · `];
        return place === steps.length - 1 ? [symbol, this.show(slope)] : [before + symbol, gradient + this.show(slope)];
      });
      const sums = [0, 1].map((i) => terms.map((term) => term[i]).join(" + "));
      return [`∂J/∂${steps[of].name}`, ...new Set([...sums, this.show(gradients[of])])].join(" = ");
    });
    const more = lines.splice(MAX_LINES).length;
    byId("chain").replaceChildren(...lines.map((line) => element("li", {}, line)), more ? `${more} more` : "");
    for (const place of all(".chosen-name")) place.textContent = steps[number].name;
    byId("kinks").textContent = [...kinks].map((place) => steps[place].name).join(", ") || "none";
    const [left, right] = [calculation.oneSided(number, -1), calculation.oneSided(number, 1)];
    this.values.set("left", left).set("right", right);
    byId("differ").hidden = this.show(left) === this.show(right);
    const isStuck = trained.every((place) => numbers.sign(gradients[place]) === 0);
    byId("stuck").hidden = !isStuck;
    const ways = trained.flatMap((place) => [1, -1].map((side) => ({ place, side })));
    const way = isStuck && ways.find(({ place, side }) => numbers.sign(calculation.oneSided(place, side)) === -side);
    const falls = way && `, although J falls where ${steps[way.place].name} ${way.side > 0 ? "grows" : "shrinks"}`;
    byId("way").textContent = falls || "";
  }

  /** Gradient descent. @param {number} steps */
  descend(steps) {
    for (let step = 0; step < steps && !byId("problem").textContent; step++) {
      const value = (/** @type {string} */ key) => asFraction(this.values.get(key));
      const rate = FRACTIONS.multiply(fraction(-1n), asFraction(parseNumber(this.field("rate").value)));
      this.losses.push(toFloat(this.values.get("J")));
      for (const name of this.sheet.trained.map((place) => `w.${place}`)) {
        const next = FRACTIONS.add(value(name), FRACTIONS.multiply(rate, value(`d.${name}`)));
        this.field(name).value = this.exactly(next);
      }
      this.update();
    }
  }

  /** Say beside an answer what it is worth. @param {any} field */
  mark(field) {
    const text = field.value.replace(",", ".").trim();
    field.nextElementSibling.textContent = text && this.verdict(field.dataset.answer, text);
  }

  /** Right, or what may have gone wrong. @param {string} key @param {string} text */
  verdict(key, text) {
    const typed = parseNumber(text);
    if (!typed) return `✗ ${HINT}`;
    const decimals = /\.(\d*)/.exec(text)?.[1].length ?? 0;
    const is = (/** @type {any} */ value, factor = 1, least = 2) => {
      const [truth, most] = [factor * toFloat(value), decimals < least ? 0 : 0.5 * 10 ** -decimals];
      return Math.abs(toFloat(typed) - truth) <= most + TOLERANCE * Math.abs(truth);
    };
    const truth = this.values.get(key);
    if (is(truth)) return "✓ right";
    const other = this.conventions.find(({ values }) => is(values.get(key)));
    if (other) return `✓ right with φ′(0) = ${other.atZero}`;
    if (is(truth, 1, 0)) return "✗ give at least two decimals";
    if (is(truth, -1)) return "✗ check the sign";
    if (is(truth, 2) || is(truth, 0.5)) return "✗ check the factors 2 and ½";
    const mistaken = all("[data-answer]").find(({ dataset }) => is(this.values.get(dataset.answer)));
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
  const [picture, ends] = [byId(id), [left, right, low, high]];
  picture.querySelector(".curve").setAttribute("d", `M${drawn.map(place).join("L")}`);
  picture.querySelector(".dot").setAttribute("transform", `translate(${place(dot)})`);
  ends.forEach((end, i) => (picture.querySelectorAll("text")[i].textContent = shown(end, true, 3)));
}

const sheet = new NetworkPage(JSON.parse(byId("data").textContent));
