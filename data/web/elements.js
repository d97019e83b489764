/** Elements of a page. Texts become text nodes, so that nothing in them is read as HTML. */

const UNSEEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g; // as in mlcore/templates.py

/** @param {string} tag @param {Record<string, any>} attributes @param {(Node | string)[]} children */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  fill(made, ...children);
  return made;
}

/** @param {Element} target @param {(Node | string)[]} children */
function fill(target, ...children) {
  const visible = children.map((child) => (typeof child === "string" ? child.replace(UNSEEN, "\ufffd") : child));
  target.replaceChildren(...visible);
}

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
/** @param {string} selector @returns {any[]} */
const all = (selector) => [...document.querySelectorAll(selector)];
/** A text whose direction does not change what is around it. @param {string} text */
const isolated = (text) => element("bdi", {}, text);
/** @param {number} value */
const signed = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(4);
/** How strong a colour is, or how long a bar. @param {number} share */
const shareOf = (share) => `--share:${share.toFixed(3)}`;
/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(2)}%`;

/** A row: a name and numbers. @param {Node | string} name @param {(Node | string)[]} cells */
function row(name, ...cells) {
  return element("tr", {}, element("td", {}, name), ...cells.map((cell) => element("td", { class: "n" }, cell)));
}

/** A number, and a bar of this share of the longest. @param {number} value @param {number} share */
function barred(value, share) {
  const bar = element("span", { class: `bar ${value > 0 ? "for" : "against"}`, style: shareOf(share) });
  return element("span", { class: "barred" }, `${signed(value)} `, bar);
}
