/** Elements of a page. Texts become text nodes, so that nothing in them is read as HTML. */

const UNSEEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g; // as in mlcore/templates.py

/**
 * An element with attributes (functions listen to events; share is for colours) and children.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name === "share") made.style.setProperty("--share", value.toFixed(3));
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.map((child) => (typeof child === "string" ? child.replace(UNSEEN, "\ufffd") : child)));
  return made;
}

/** @param {string} id @returns {any} */
function byId(id) {
  return document.getElementById(id);
}

/** @param {string} selector @returns {any[]} */
function all(selector) {
  return [...document.querySelectorAll(selector)];
}

/** A text whose direction does not change what is around it. @param {string} text */
function isolated(text) {
  return element("bdi", {}, text);
}

/** A table that scrolls where it is too wide. @param {string} name @param {string[]} head @param {Node[]} rows */
function table(name, head, rows) {
  const titles = head.map((title, i) => element("th", { scope: "col", ...(i && { class: "n" }) }, title));
  const parts = [element("caption", {}, name), element("thead", {}, element("tr", {}, ...titles))];
  const made = element("table", {}, ...parts, element("tbody", {}, ...rows));
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": name }, made);
}

/** A row: a name and numbers. @param {Node | string} name @param {(Node | string)[]} cells */
function row(name, ...cells) {
  return element("tr", {}, element("td", {}, name), ...cells.map((cell) => element("td", { class: "n" }, cell)));
}

/** A number with a real minus sign, and a bar of this share of the longest. @param {number} value @param {number} share */
function barred(value, share) {
  const bar = element("span", { class: `bar ${value > 0 ? "for" : "against"}`, share });
  return element("span", { class: "barred" }, `${signed(value)} `, bar);
}

/** @param {number} value */
function signed(value) {
  return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(4);
}
