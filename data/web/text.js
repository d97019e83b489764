/** Tokens of a text, exactly as mlcore/text/tokenizer.py finds them. */

const BETWEEN = /(<\/?[a-zA-Z][^<>]*>|[ \t\n\f\r]+)/g; // tags and spaces, which nothing else crosses
const NO_CHARACTER = /[\x01-\x08\x0b\x0e-\x1f\x7f\ufdd0-\ufdef]/; // as HTML has it
// A letter for the kind of a character, in the order of KINDS in characters.py; a token is a regular expression of these
const [CODES, OTHER, IGNORED, FIRST_EXPANDED, UNASSIGNED] = ["oLXJSPRTi", 0, 8, 9, 11];
const SPACE = /** @type {Alike} */ ([0, 0, UNASSIGNED, [0x20]]);
const OWN_CODES = { M: ".,!?;:()@#", A: "'", Z: "\u200d" };
const TOKEN = /[PT][XT]*(?:ZP[XT]*)*|RX*(?:RX*)?|SX*|L[LX]*(?:[JZA]L[LX]*)*|M/g;

class Tokenizer {
  /** @param {Alike[]} ranges of data/characters.tsv @param {Record<string, string>} entities */
  constructor(ranges, entities) {
    this.ranges = ranges;
    this.entities = entities;
    const names = Object.keys(entities).sort((a, b) => b.length - a.length); // the longest that fits is meant
    this.entity = new RegExp(`&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|${names.join("|")})`, "g");
    this.readings = /** @type {Map<string, Reading>} */ (new Map());
  }

  /** The text in parts: its tokens, and what is between them. @param {string} text */
  spans(text) {
    return text.split(BETWEEN).flatMap((part) => this.spansWithin(part));
  }

  /** @param {string} part @returns {Span[]} */
  spansWithin(part) {
    const [characters, tokens, spans] = [[...part], this.tokens(part), /** @type {Span[]} */ ([])];
    const readNext = () => this.reading(characters[next]).read;
    let next = 0;
    for (const token of tokens) {
      let [between, written, read] = ["", "", ""];
      while (next < characters.length && (read !== token || !readNext())) {
        [written, read] = [written + characters[next], read + readNext()];
        if (!token.startsWith(read)) [between, written, read] = [between + written, "", ""];
        next++;
      }
      if (read !== token) return tokens.map((one) => [`${one} `, one]); // written otherwise, such as "&eacute;"
      spans.push([between, null], [written, token]);
    }
    return [...spans, [characters.slice(next).join(""), null]];
  }

  /** @param {string} text */
  tokens(text) {
    const decoded = text.replace(BETWEEN, " ").replace(this.entity, (_, name) => this.entities[name] ?? numbered(name));
    const read = Array.from(this.read(decoded));
    const codes = read.map((character) => this.reading(character).code).join("");
    const attached = codes.replace(/(?<![LXSPRT])X+/g, (lone) => "o".repeat(lone.length));
    return [...attached.matchAll(TOKEN)].map(({ 0: found, index }) => read.slice(index, index + found.length).join(""));
  }

  /** The text in Unicode's form C with full case folding. @param {string} text */
  read(text) {
    const known = Array.from(text, (character) => {
      const { kind, read } = this.reading(character);
      return kind === IGNORED || kind === UNASSIGNED ? read : character;
    });
    const folded = Array.from(known.join("").normalize("NFC"), (character) => this.reading(character).read).join("");
    return folded.replaceAll(/i\u0307+/g, "i").normalize("NFC");
  }

  /** @param {string} character @returns {Reading} */
  reading(character) {
    const [known, point] = [this.readings.get(character), character.codePointAt(0) ?? 0];
    if (known) return known;
    const [first, , kind, read] = this.ranges.find(([first, last]) => first <= point && point <= last) ?? SPACE;
    const points = kind === OTHER || kind >= FIRST_EXPANDED ? read : [point + read[0] - first];
    const [code = CODES[kind]] = Object.entries(OWN_CODES).find(([, own]) => own.includes(character)) ?? [];
    const found = { kind, code, read: kind === IGNORED ? "" : String.fromCodePoint(...points) };
    this.readings.set(character, found);
    return found;
  }
}

/** The character of an entity such as "#65;" or "#x41;". @param {string} name */
function numbered(name) {
  const point = /^#[xX]/.test(name) ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10);
  if (point >= 0x80 && point < 0xa0) return new TextDecoder("windows-1252").decode(Uint8Array.of(point));
  if (point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return "\ufffd";
  const character = String.fromCodePoint(point);
  return NO_CHARACTER.test(character) || (point & 0xfffe) === 0xfffe ? "" : character;
}
