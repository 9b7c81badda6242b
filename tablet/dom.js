/** Elements made in one expression; nothing is ever set as HTML, so no text can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Drawings of 24 × 24, in the colour of the text beside them. */
const DRAWINGS = {
  ok: "M4 12.5 9.5 18 20 7",
  cross: "M6 6l12 12M18 6 6 18",
  stop: "M8 2.5h8l5.5 5.500v8L16 21.500H8L2.5 16V8zM8.5 8.500l7 7M15.5 8.500l-7 7",
  money: "M2.5 6h19v12h-19zM12 9.400a2.6 2.6 0 1 0 .01 0zM6 9.500v5M18 9.500v5",
  pin: "M12 21.500s-7-6.8-7-12a7 7 0 0 1 14 0c0 5.2-7 12-7 12zM9.5 7l5 5M14.5 7l-5 5",
  day: "M4 5h16v16H4zM4 10h16M8 2.500v4M16 2.500v4M9.5 13l5 5M14.5 13l-5 5",
  question: "M8.5 8.500a3.5 3.5 0 1 1 5 3.200c-1 .5-1.5 1.2-1.5 2.300M12 17.800v.4M12 2.500a9.5 9.5 0 1 0 .01 0z",
  warn: "M12 3.5 2.5 20h19zM12 10v4.500M12 17.200v.3",
  ticket: "M3 8a2 2 0 0 1 2-2h14a2 2 0 0 1 2 2v2a2 2 0 0 0 0 4v2a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-2a2 2 0 0 0 0-4zM14 6v12",
  gate: "M3 20h18M5 20V10M19 20V10M2.5 10 12 4l9.5 6zM10 20v-5h4v5",
  lot: "M4 5.500A2.5 2.5 0 0 1 6.5 3h11A2.5 2.5 0 0 1 20 5.500v13a2.5 2.5 0 0 1-2.5 2.500h-11A2.5 2.5 0 0 1 4 18.500zM9.5 17V7h3.300a3 3 0 0 1 0 6.200H9.5",
  shift: "M12 3a9 9 0 1 0 .01 0zM12 7.500v5l3.5 2",
  help: "M9.2 9a2.9 2.9 0 1 1 4.2 2.700c-.9.4-1.4 1-1.4 2M12 16.800v.4M12 3a9 9 0 1 0 .01 0z",
  in: "M4 12h11M11 7.500l4.5 4.5-4.5 4.500M19.5 4v16",
  out: "M9 12h11M16 7.500l4.5 4.5-4.5 4.500M4.5 4v16",
  find: "M10.5 4a6.5 6.5 0 1 0 .01 0zM15.5 15.5 20.5 20.5",
  online: "M4 10a12 12 0 0 1 16 0M7 13.500a7.5 7.5 0 0 1 10 0M12 18v.4",
  offline: "M4 10a12 12 0 0 1 16 0M7 13.500a7.5 7.5 0 0 1 10 0M12 18v.4M4 3l16 18",
  car: "M3 16v-3.500l2-1L7 7h10l2 4.5 2 1V16h-1.500M3 16h2.500M9.5 16h5M5 11.500h14M7.5 14.500a2 2 0 1 0 .01 0zM16.5 14.500a2 2 0 1 0 .01 0z",
  motorbike: "M3.5 14c0-2.2 1.4-3.5 3.5-3.5h4l1.5 5h2.3L16.3 7H13.5M16.3 7l1.9 7.500M5 8h5.5M5.5 15a2.5 2.5 0 1 0 .01 0zM18.5 15a2.5 2.5 0 1 0 .01 0z",
  bicycle: "M5.5 12a4 4 0 1 0 .01 0zM18.5 12a4 4 0 1 0 .01 0zM5.5 16l3.7-7h5.600l3.7 7M9.2 9l3 7 2.8-7M12.2 16H5.500M7.5 6.500h3M9.2 9l-.8-2.500M14.8 9l-.8-2.800h2.8",
  phone: "M6.5 2.5h11v19h-11zM11 18.5h2",
  qr: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 14h2v2M14 18v2h2M19 19h1v1",
  erase: "M9 5h12v14H9l-6-7zM12.5 9.500l5 5M17.5 9.500l-5 5",
};

/**
 * @param {string} tag
 * @param {Record<string, any>} [traits] attributes; `on` holds listeners by event; false, null and undefined are left out
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, traits = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(traits)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return made;
}

/** Replaces all that stands in `parent`; like `el`, leaves out what is false or missing. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
}

/** @param {keyof typeof DRAWINGS | string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", DRAWINGS[name] ?? DRAWINGS.lot);
  svg.append(path);
  return svg;
}

/** A button with words and, before them, a drawing. `test` is the hook by which tests and scripts find it. */
export function button(test, words, act, { drawing = "", kind = "", ...traits } = {}) {
  return el(
    "button",
    { type: "button", class: `button ${kind}`, "data-test": test, on: { click: act }, ...traits },
    drawing && icon(drawing), el("span", {}, words),
  );
}

/** A labelled field. */
export function field(id, label, traits = {}, hint = "") {
  return el(
    "label", { class: "field", for: id },
    el("span", {}, label),
    el("input", { id, "data-test": id, autocomplete: "off", spellcheck: "false", ...traits }),
    hint && el("small", {}, hint),
  );
}

/** Rows of label and value; rows without a value are left out. */
export function facts(rows) {
  const shown = rows.filter(([, value]) => ![null, undefined, false, ""].includes(value));
  return el("dl", { class: "facts" }, shown.map(([label, value, test]) =>
    el("div", {}, el("dt", {}, label), el("dd", { "data-test": test }, value))));
}

/** The picture of a code: its page's address with `/qr.svg` behind. */
export function picture(address, label) {
  const path = new URL(address, location.href).pathname;
  return el("figure", { class: "qr" }, el("img", { src: `${path}/qr.svg`, alt: label, width: 300, height: 300 }),
    el("figcaption", {}, label));
}

/** A number with big buttons on both sides. `changed` gets the new number. */
export function stepper(id, label, { value = 0, min = 0, max = 99, less, more, changed = () => {} }) {
  const input = el("input", {
    id, type: "number", inputmode: "numeric", min, max, value, "aria-label": label, "data-test": id,
    on: { input: () => changed(Math.min(Math.max(Number.parseInt(input.value, 10) || 0, min), max)) },
  });
  const step = (by) => () => {
    input.value = String(Math.min(Math.max((Number.parseInt(input.value, 10) || 0) + by, min), max));
    input.dispatchEvent(new Event("input"));
  };
  return el(
    "span", { class: "stepper" },
    el("button", { type: "button", "aria-label": `${less}: ${label}`, "data-test": `${id}-less`, on: { click: step(-1) } }, "−"),
    input,
    el("button", { type: "button", "aria-label": `${more}: ${label}`, "data-test": `${id}-more`, on: { click: step(1) } }, "+"),
  );
}
