/** The page of a classifier: what is typed, pasted or dropped is predicted and explained at once. */

const [MAX_FEATURES, MAX_UNKNOWN, MAX_PROBABILITIES, MAX_SHOWN] = [20, 20, 5, 200];
const AT_ONCE = 50; // milliseconds of work before the page may answer

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(2)}%`;

class ClassifierPage {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.classifier = new Classifier(model);
    this.table = /** @type {string[][]} */ ([]); // that was dropped
    this.turn = 0; // of the work in progress; an older one stops
    this.separator = [",", ";", "|"].find((mark) => !model.labels.some((label) => label.includes(mark))) ?? ",";
    for (const id of ["text", "lines", "label"]) byId(id).addEventListener("input", () => this.update());
    for (const id of ["column", "header"]) byId(id).addEventListener("input", () => this.predictFile());
    byId("file").addEventListener("change", () => this.open(byId("file").files[0]));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.open(event.dataTransfer?.files[0]);
    });
    this.update();
  }

  /** Predict what is in the field. */
  update() {
    const text = byId("text").value;
    this.turn += 1;
    if (byId("lines").checked) {
      const lines = /** @type {string[]} */ (text.split(/\r?\n/)).filter((line) => line.trim());
      const rows = lines.map((line) => [line]);
      this.predictAll(["text"], rows, 0);
    } else if (text.trim()) {
      this.answer(text);
    } else {
      this.show([], []);
    }
  }

  /** @param {(Node | string)[]} prediction @param {Node[]} details */
  show(prediction, details) {
    byId("prediction").replaceChildren(...prediction);
    byId("answer").replaceChildren(...details);
  }

  /** Show everything about one text. @param {string} text */
  answer(text) {
    const spans = this.classifier.tokenizer.spans(text);
    const tokens = spans.flatMap(({ token }) => (token === null ? [] : [token]));
    const found = this.classifier.predict(tokens);
    const { known, all, probabilities } = found;
    const remark = known ? "" : " No known words: the prediction is the default, the same for all such texts.";
    const shown = [element("p", { class: "muted" }, `${known} of ${all} words known.${remark}`)];
    if (probabilities.length > 2) {
      const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
      order.length = Math.min(order.length, MAX_PROBABILITIES);
      const rows = order.map((label) => row(isolated(this.model.labels[label]), percent(probabilities[label])));
      shown.push(table("Most probable labels", ["label", "probability"], rows));
    }
    this.show(this.prediction(found), tokens.length ? [...shown, ...this.explanation(spans, tokens, found)] : shown);
  }

  /** @param {Prediction} found */
  prediction({ chosen, confidence, rating }) {
    if (!this.model.labels.length) return [element("b", {}, rating.toFixed(4))];
    const names = chosen.flatMap((label, i) => [i ? ", " : "", isolated(this.model.labels[label])]);
    return [...(names.length ? names : ["(no label)"]), " ", element("b", {}, percent(confidence))];
  }

  /** @param {Span[]} spans @param {string[]} tokens @param {Prediction} predicted @returns {Node[]} */
  explanation(spans, tokens, predicted) {
    const { labels } = this.model;
    const wanted = Number(byId("label").value);
    const best = predicted.probabilities.indexOf(Math.max(...predicted.probabilities));
    const found = this.classifier.explain(tokens, wanted < 0 ? best : wanted);
    const name = labels.length ? `\u201c${found.output}\u201d` : "a higher rating";
    const strongest = Math.max(...found.words.map(Math.abs)) || 1;
    let t = 0;
    const words = spans.map(({ written, token }) => {
      if (token === null) return written;
      const contribution = found.words[t++];
      const kind = contribution > 0 ? "for" : contribution < 0 ? "against" : "";
      const known = this.classifier.words.has(token);
      const title = `${known ? "" : "unknown word "}${signed(contribution)}`;
      const share = Math.abs(contribution) / strongest;
      return element("span", { class: kind || (known ? "" : "unknown"), share, title }, written);
    });
    const most = Math.max(...found.features.map(({ contribution }) => Math.abs(contribution))) || 1;
    const rows = found.features.slice(0, MAX_FEATURES).map((feature) => {
      const { contribution } = feature;
      const amount = barred(contribution, Math.abs(contribution) / most);
      const without = feature.isWord ? signed(found.change(feature.name)) : "";
      return row(isolated(feature.name), String(feature.count), amount, without);
    });
    const rest = found.features.slice(MAX_FEATURES);
    const total = rest.reduce((sum, { contribution }) => sum + contribution, 0);
    if (rest.length) rows.push(row(`(${rest.length} more)`, "", barred(total, 0), ""));
    rows.push(row("constant", "", barred(found.constant, 0), ""));
    const compared = found.against === null ? "" : ` above that of ${found.against}`;
    rows.push(row(`sum: ${labels.length ? "logit" : "rating"}${compared}`, "", barred(found.logit, 0), ""));
    const key = `Words with a solid line count for ${name}, words with a dashed line against it; stronger means more.`;
    return [
      element("h2", {}, "Why"),
      element("p", { class: "muted" }, `${key} Dotted words are unknown.`),
      element("p", { id: "words", dir: "auto" }, ...words),
      table(`Contributions to ${name}`, ["feature", "times", "contribution", "without it"], rows),
      ...this.unknown(tokens),
    ];
  }

  /** The words that the model does not know. @param {string[]} tokens */
  unknown(tokens) {
    const words = [...new Set(tokens)].filter((token) => !this.classifier.words.has(token));
    if (!words.length) return [];
    const items = words.slice(0, MAX_UNKNOWN).map((word) => {
      const nearest = this.classifier.nearestSpelling(word);
      return element("li", {}, isolated(word), ...(nearest ? ["; nearest known: ", isolated(nearest)] : []));
    });
    const more = words.length > MAX_UNKNOWN ? [element("p", {}, `(${words.length - MAX_UNKNOWN} more)`)] : [];
    return [element("h2", {}, "Unknown words"), element("ul", { id: "unknown" }, ...items), ...more];
  }

  /** Read a table, and let its column be chosen. @param {File | undefined} file */
  async open(file) {
    if (!file) return;
    const content = await file.arrayBuffer();
    let note = "";
    try {
      this.table = parseTable(new TextDecoder("utf-8", { fatal: true }).decode(content));
    } catch {
      this.table = parseTable(new TextDecoder("windows-1252").decode(content));
      note = " It is not UTF-8 and was read as Windows-1252.";
    }
    if (!this.table.length) return this.show([isolated(file.name), " is empty."], []);
    const guess = guessColumn(this.table, this.model.textNames);
    const options = this.table[0].map((name, i) => element("option", { value: i }, name || `column ${i + 1}`));
    byId("column").replaceChildren(...options);
    [byId("column").value, byId("header").checked, byId("file-choices").hidden] = [guess.column, guess.header, false];
    byId("file-note").replaceChildren(isolated(file.name), `: ${this.table.length} rows.${note}`);
    this.predictFile();
  }

  /** Predict the column that was chosen. */
  predictFile() {
    this.turn += 1;
    const isNamed = byId("header").checked;
    const names = this.table[0].map((name, i) => (isNamed ? name : `column ${i + 1}`));
    this.predictAll(names, this.table.slice(isNamed ? 1 : 0), Number(byId("column").value));
  }

  /** Predict a column of a table. @param {string[]} names @param {string[][]} rows @param {number} column */
  async predictAll(names, rows, column) {
    const turn = this.turn;
    const done = [[...names, "predicted", ...(this.model.labels.length ? ["probability"] : []), "known"]];
    let pause = Date.now() + AT_ONCE;
    for (const cells of rows) {
      const found = this.classifier.predict(this.classifier.tokenizer.tokens(cells[column] ?? ""));
      const labels = found.chosen.map((label) => this.model.labels[label]).join(this.separator);
      const predicted = this.model.labels.length ? [labels, found.confidence.toFixed(6)] : [found.rating.toFixed(6)];
      const known = (found.known / Math.max(found.all, 1)).toFixed(4);
      done.push([...names.map((_, i) => cells[i] ?? ""), ...predicted, known]);
      if (Date.now() > pause) {
        this.show([`${done.length - 1} of ${rows.length} rows predicted`], []);
        await new Promise((resolve) => setTimeout(resolve));
        if (turn !== this.turn) return;
        pause = Date.now() + AT_ONCE;
      }
    }
    const cells = (/** @type {string[]} */ texts) => texts.map((text) => element("td", {}, isolated(text)));
    const shown = done.slice(1, MAX_SHOWN + 1).map((texts) => element("tr", {}, ...cells(texts)));
    const note = rows.length > MAX_SHOWN ? ` The first ${MAX_SHOWN} rows are shown; the file has all.` : "";
    const save = () => download(formatTable(done));
    const button = element("button", { type: "button", id: "download", click: save }, "Download CSV");
    const details = [element("p", {}, button, note), table("Predictions", done[0], shown)];
    this.show([`${rows.length} rows predicted`], details);
  }
}

/** Save a file that the page has made. @param {string} content */
function download(content) {
  const url = URL.createObjectURL(new Blob(["\ufeff", content], { type: "text/csv" })); // the mark is for spreadsheets
  element("a", { href: url, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const page = new ClassifierPage(JSON.parse(byId("data").textContent));
