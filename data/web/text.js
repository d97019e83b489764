/** Tokens of a text, exactly as mlcore/text/tokenizer.py finds them. */

const TAG = /<\/?[a-zA-Z][^<>]*>/g;
const BETWEEN = /(<\/?[a-zA-Z][^<>]*>|[ \t\n\f\r]+)/; // what no token, entity or sequence of characters crosses
const LEADING_ZEROS = /&#0+(?=[0-9])/g;
const IMPOSSIBLE_ENTITY = /&#[0-9]{8,};?/g;
const ENTITY = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu;
const NO_CHARACTER = /[\x01-\x08\x0b\x0e-\x1f\x7f\ufdd0-\ufdef]/; // as HTML has it
const REPLACEMENT = "\ufffd";
// A letter for the kind of a character, in the order of KINDS in characters.py; a token is a regular expression of these
const [CODES, OTHER, IGNORED, FIRST_EXPANDED] = ["oLXJSPRTKi", 0, 9, 10];
const WORD = "[LD][LDX]*";
const TOKEN = new RegExp(`B?KX*|[PT][XT]*(?:ZP[XT]*)*|RX*(?:RX*)?|SX*|${WORD}(?:[JZA]${WORD})*|[MH]`, "g");

class Tokenizer {
  /** @param {Alike[]} ranges of data/characters.tsv @param {Record<string, string>} entities */
  constructor(ranges, entities) {
    this.ranges = ranges;
    this.entities = new Map(Object.entries(entities));
    this.readings = /** @type {Map<string, Reading>} */ (new Map());
  }

  /** @param {string} text */
  tokens(text) {
    return text.split(BETWEEN).flatMap((part) => this.tokensWithin(part));
  }

  /** The text in parts: its tokens, and what is between them. @param {string} text */
  spans(text) {
    return text.split(BETWEEN).flatMap((part) => this.spansWithin(part));
  }

  /** @param {string} part @returns {Span[]} */
  spansWithin(part) {
    let [folded, length] = ["", 0];
    const places = []; // of the characters of folded in the part
    for (const character of part) {
      const read = this.reading(character).read;
      folded += read;
      places.push(...Array(read.length).fill(length));
      length += character.length;
    }
    places.push(length);
    const [spans, tokens] = [/** @type {Span[]} */ ([]), this.tokensWithin(part)];
    let [from, end] = [0, 0];
    for (const token of tokens) {
      const at = folded.indexOf(token, from);
      // where it was written in another way, such as "&eacute;", the token stands for itself
      if (at < 0) return tokens.flatMap((one) => [span(one, one), span(" ", null)]);
      from = at + token.length;
      spans.push(span(part.slice(end, places[at]), null), span(part.slice(places[at], places[from]), token));
      end = places[from];
    }
    return [...spans, span(part.slice(end), null)];
  }

  /** @param {string} part */
  tokensWithin(part) {
    const read = Array.from(this.read(this.decodeMarkup(part)));
    const codes = read.map((character) => this.code(character)).join("");
    const marked = codes.replaceAll("HK", "oK").replaceAll("DK", "BK");
    const attached = marked.replace(/(?<![LDXSPRTK])X+/g, (lone) => "o".repeat(lone.length));
    return Array.from(attached.matchAll(TOKEN), ({ 0: found, index }) =>
      read.slice(index, index + found.length).join(""),
    );
  }

  /** The text in Unicode's form C with full case folding. @param {string} text */
  read(text) {
    const known = Array.from(text, (character) => {
      const { kind, read } = this.reading(character);
      return kind === null || kind === IGNORED ? read : character;
    });
    const folded = Array.from(known.join("").normalize("NFC"), (character) => this.reading(character).read).join("");
    return folded.replaceAll(/i\u0307+/g, "i").normalize("NFC");
  }

  /** @param {string} character */
  reading(character) {
    const found = this.readings.get(character) ?? this.lookUp(character.codePointAt(0) ?? 0);
    this.readings.set(character, found);
    return found;
  }

  /** @param {number} point @returns {Reading} */
  lookUp(point) {
    let [low, high] = [0, this.ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ranges[middle][1] < point) low = middle + 1;
      else high = middle;
    }
    const [first, , kind, read] = this.ranges[low] ?? [Infinity];
    if (first > point) return { kind: null, read: " " };
    if (kind === IGNORED) return { kind, read: "" };
    const points = kind === OTHER || kind >= FIRST_EXPANDED ? read : [point + read[0] - first];
    return { kind, read: String.fromCodePoint(...points) };
  }

  /** Letter for the kind of a character, as TOKEN knows it. @param {string} character */
  code(character) {
    if (character >= "0" && character <= "9") return "D";
    if (".,!?;:()@".includes(character)) return "M";
    const code = { "#": "H", "'": "A", "\u200d": "Z" }[character];
    return code ?? CODES[this.reading(character).kind ?? OTHER];
  }

  /** HTML tags become a space; then entities are decoded, as Python does it. @param {string} text */
  decodeMarkup(text) {
    const plain = text.replace(TAG, " ").replace(LEADING_ZEROS, "&#").replace(IMPOSSIBLE_ENTITY, REPLACEMENT);
    return plain.replace(ENTITY, (_, name) => (name.startsWith("#") ? numbered(name.slice(1)) : this.named(name)));
  }

  /** @param {string} name */
  named(name) {
    for (let end = name.length; end > 1; end--) {
      const character = this.entities.get(name.slice(0, end));
      if (character !== undefined) return character + name.slice(end);
    }
    return `&${name}`;
  }
}

/** @param {string} written @param {string | null} token @returns {Span} */
function span(written, token) {
  return { written, token };
}

/** The character of an entity such as "65;" or "x41;". @param {string} number */
function numbered(number) {
  const point = /^[xX]/.test(number) ? parseInt(number.slice(1), 16) : parseInt(number, 10);
  if (point >= 0x80 && point < 0xa0) return new TextDecoder("windows-1252").decode(Uint8Array.of(point));
  if (point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return REPLACEMENT;
  const character = String.fromCodePoint(point);
  return NO_CHARACTER.test(character) || (point & 0xfffe) === 0xfffe ? "" : character;
}
