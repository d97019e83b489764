/** Tables as CSV, which people drop on the page and take away. */

const RUN = /^(?![+-][\d.,\s]+(e[+-]?\d+)?%?$)[=+\-@\t\r]/i; // cells that spreadsheets would run as formulas

/** The rows of a table whose cells are separated by what the first line has most of. @param {string} text */
function parseTable(text) {
  const first = text.slice(0, text.search(/[\r\n]|$/)).replace(/"[^"]*"/g, "");
  const [separator] = [",", ";", "\t", "|"].sort((a, b) => first.split(b).length - first.split(a).length);
  const cell = new RegExp(`(?:"([^"]*(?:""[^"]*)*)"|([^\\${separator}\\r\\n]*))(\\${separator}|\\r\\n|\\r|\\n|$)`, "y");
  const rows = [/** @type {string[]} */ ([])];
  while (cell.lastIndex < text.length) {
    const [, quoted, plain, end] = /** @type {RegExpExecArray} */ (cell.exec(text)); // there is always one
    rows[rows.length - 1].push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== separator) rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}

/** @param {string[][]} rows */
function formatTable(rows) {
  const safe = rows.map((row) => row.map((cell) => (RUN.test(cell) ? `'${cell}` : cell)));
  const quoted = (/** @type {string} */ cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return safe.map((row) => row.map(quoted).join(",") + "\n").join("");
}

/** The column of texts: that of a usual name, else of the longest. @param {string[][]} rows @param {string[]} usual */
function guessColumn(rows, usual) {
  const plain = rows[0].map((name) => name.normalize("NFKD").toLowerCase());
  const names = plain.map((name) => name.replace(/[^\p{L}\p{N}]/gu, ""));
  const known = names.findIndex((name) => usual.includes(name));
  if (known >= 0) return { column: known, header: true };
  const lengths = rows[0].map((_, i) => rows.slice(1, 100).reduce((sum, row) => sum + (row[i] ?? "").length, 0));
  const header = rows.length > 1 && names.every((name) => name && isNaN(Number(name)) && name.length < 25);
  return { column: lengths.indexOf(Math.max(...lengths)), header };
}
