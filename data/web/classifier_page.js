/** The page of a classifier: what is typed, pasted or dropped is predicted and explained at once. */

const [MAX_FEATURES, MAX_UNKNOWN, MAX_PROBABILITIES, MAX_SHOWN, ROWS_AT_ONCE] = [20, 20, 5, 200, 50];

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
    for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
    document.addEventListener("drop", ({ dataTransfer }) => this.open(dataTransfer?.files[0]));
    this.update();
  }

  /** Predict what is in the field. */
  update() {
    const text = /** @type {string} */ (byId("text").value);
    const rows = text.split("\n").flatMap((line) => (line.trim() ? [[line]] : []));
    if (byId("lines").checked) this.predictAll(["text"], rows, 0);
    else if (rows.length) this.answer(text);
    else this.show([], "");
  }

  /** Show a prediction and this section, instead of what came before. @param {(Node | string)[]} prediction @param {string} section */
  show(prediction, section) {
    this.turn += 1;
    fill(byId("prediction"), ...prediction);
    for (const id of ["one", "many"]) byId(id).hidden = id !== section;
  }

  /** Show everything about one text. @param {string} text */
  answer(text) {
    const spans = this.classifier.tokenizer.spans(text);
    const [tokens, { labels }] = [spans.flatMap(([, token]) => token ?? []), this.model];
    const { chosen, confidence, probabilities, rating, known } = this.classifier.predict(tokens);
    const names = chosen.flatMap((label, i) => [i ? ", " : "", isolated(labels[label])]);
    const answer = names.length || !labels.length ? names : ["(no label)"];
    this.show([...answer, " ", element("b", {}, labels.length ? percent(confidence) : rating.toFixed(4))], "one");
    const byCharacters = this.classifier.occurrences(tokens).length ? "; read by their characters." : "";
    const remark = known ? "." : byCharacters || ": the prediction is the default, the same for all such texts.";
    byId("known").textContent = `${known} of ${tokens.length} words known${remark}`;
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    const rows = order.map((label) => row(isolated(labels[label]), percent(probabilities[label])));
    fill(byId("probabilities"), ...rows.slice(0, MAX_PROBABILITIES));
    const wanted = Number(byId("label").value);
    this.explain(spans, tokens, wanted < 0 ? (order[0] ?? -1) : wanted);
  }

  /** @param {Span[]} spans @param {string[]} tokens @param {number} label that is explained */
  explain(spans, tokens, label) {
    const found = this.classifier.explain(tokens, label);
    const [shown, rest] = [found.features.slice(0, MAX_FEATURES), found.features.slice(MAX_FEATURES)];
    const strongest = Math.max(...found.words.map(Math.abs)) || 1;
    let t = 0;
    const words = spans.map(([written, token]) => {
      if (token === null) return written;
      const [contribution, unknown] = [found.words[t++], this.classifier.words.has(token) ? "" : " unknown"];
      const kind = (contribution > 0 ? "for" : contribution < 0 ? "against" : "") + unknown;
      const [style, title] = [shareOf(Math.abs(contribution) / strongest), signed(contribution) + unknown];
      return element("span", { class: kind, style, title }, written);
    });
    const rows = shown.map(({ name, places, contribution }) => {
      const bar = barred(contribution, Math.abs(contribution / shown[0].contribution) || 0);
      return row(isolated(name), String(places.size), bar, name.includes(" ") ? "" : signed(found.change(name)));
    });
    const total = rest.reduce((sum, { contribution }) => sum + contribution, 0);
    if (rest.length) rows.push(row(`(${rest.length} more)`, "", barred(total, 0), ""));
    const compared = found.against === null ? "" : ` above that of ${found.against}`;
    const sum = `sum: ${this.model.labels.length ? "logit" : "rating"}${compared}`;
    rows.push(row("constant", "", barred(found.constant, 0), ""), row(sum, "", barred(found.logit, 0), ""));
    for (const place of all(".explained")) fill(place, found.output ?? "a higher rating");
    fill(byId("words"), ...words);
    fill(byId("features"), ...rows);
    byId("legend").hidden = !shown.some(({ name }) => name.startsWith("^ "));
    const unknown = [...new Set(tokens)].filter((token) => !this.classifier.words.has(token));
    const items = unknown.slice(0, MAX_UNKNOWN).map((word) => {
      const nearest = this.classifier.alike(word);
      return element("li", {}, isolated(word), ...(nearest ? ["; nearest known: ", isolated(nearest)] : []));
    });
    fill(byId("unknown"), ...items, unknown.length > MAX_UNKNOWN ? `(${unknown.length - MAX_UNKNOWN} more)` : "");
    [byId("why").hidden, byId("unknowns").hidden] = [!tokens.length, !unknown.length];
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
    if (!this.table.length) return this.show([isolated(file.name), " is empty."], "");
    const guess = guessColumn(this.table, this.model.textNames);
    fill(byId("column"), ...this.table[0].map((name, i) => element("option", { value: i }, name || `column ${i + 1}`)));
    [byId("column").value, byId("header").checked, byId("file-choices").hidden] = [guess.column, guess.header, false];
    fill(byId("file-note"), isolated(file.name), `: ${this.table.length} rows.${note}`);
    this.predictFile();
  }

  /** Predict the column that was chosen. */
  predictFile() {
    const isNamed = byId("header").checked;
    const names = this.table[0].map((name, i) => (isNamed ? name : `column ${i + 1}`));
    this.predictAll(names, this.table.slice(isNamed ? 1 : 0), Number(byId("column").value));
  }

  /** Predict a column of a table. @param {string[]} names @param {string[][]} rows @param {number} column */
  async predictAll(names, rows, column) {
    this.show([], "");
    const { turn, model } = this;
    const done = [[...names, "predicted", ...(model.labels.length ? ["probability"] : []), "known"]];
    for (const cells of rows) {
      const found = this.classifier.predict(this.classifier.tokenizer.tokens(cells[column] ?? ""));
      const labels = found.chosen.map((label) => model.labels[label]).join(this.separator);
      const predicted = model.labels.length ? [labels, found.confidence.toFixed(6)] : [found.rating.toFixed(6)];
      const known = (found.known / Math.max(found.all, 1)).toFixed(4);
      done.push([...names.map((_, i) => cells[i] ?? ""), ...predicted, known]);
      if (done.length % ROWS_AT_ONCE) continue;
      fill(byId("prediction"), `${done.length - 1} of ${rows.length} rows predicted`);
      await new Promise((resolve) => setTimeout(resolve));
      if (turn !== this.turn) return;
    }
    byId("download").onclick = () => download(formatTable(done));
    this.show([`${rows.length} rows predicted`], "many");
    const [titles, ...shown] = done.slice(0, MAX_SHOWN + 1);
    const cells = (/** @type {string[]} */ texts) => texts.map((text) => element("td", {}, isolated(text)));
    fill(byId("rows-names"), ...titles.map((title) => element("th", { scope: "col" }, isolated(title))));
    fill(byId("rows"), ...shown.map((texts) => element("tr", {}, ...cells(texts))));
    fill(byId("note"), rows.length > MAX_SHOWN ? `The first ${MAX_SHOWN} rows are shown; the file has all.` : "");
  }
}

/** Save a file that the page has made. @param {string} content */
function download(content) {
  const url = URL.createObjectURL(new Blob(["\ufeff", content], { type: "text/csv" })); // the mark is for spreadsheets
  element("a", { href: url, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const page = new ClassifierPage(JSON.parse(byId("data").textContent));
