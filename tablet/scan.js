/** The scan field, for scanners that type and for people who do, and what was read with it. */

import { el, icon } from "./dom.js";
import { say } from "./words.js";

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SHORT = "23456789ABCDEFGHJKMNPQRSTVWXYZ";
const KINDS = { 1: "ticket", 2: "stay", 3: "leave", 4: "pass", 5: "tag" };
/** A scanner that sees the same code twice in a row means it once. */
const SAME_MS = 3000;
const IDLE_MS = 15_000;

/**
 * What was read: a signed code of ours, a short code, or something else.
 * @returns {{type: "code"|"short"|"mistyped"|"other", text: string, kind?: string}}
 */
export function understand(read) {
  const code = /(?:^|\/T\/)([A-Z2-7]{48})$/i.exec(read.trim());
  if (code) {
    const text = code[1].toUpperCase();
    const first = (BASE32.indexOf(text[0]) << 3) | (BASE32.indexOf(text[1]) >> 2);
    return { type: "code", text, kind: KINDS[first] ?? "unknown" };
  }
  const typed = read.toUpperCase().replace(/[\s.·-]/g, "");
  if (typed.length === 10 && [...typed].every((symbol) => SHORT.includes(symbol))) {
    // The same check as the server's (foundation/check_symbols.py): the polynomial is zero at 3 in GF(31).
    const sum = [...typed].reduce((value, symbol) => (value * 3 + SHORT.indexOf(symbol)) % 31, 0);
    return { type: sum === 0 ? "short" : "mistyped", text: typed };
  }
  return { type: "other", text: read.trim() };
}

/** @type {(read: string) => any} */
let receive = () => {};
let lastTouched = 0;

/** Shows the scan field and hands what is read to `then`; without `then`, hides it. */
export function listen(then, label = "") {
  const form = document.getElementById("scan");
  form.hidden = !then;
  receive = then ?? (() => {});
  if (!then) return form.replaceChildren();
  if (form.dataset.label === label && form.firstChild) return focus();
  form.dataset.label = label;
  form.replaceChildren(
    el("label", { for: "scan-input" }, icon("find"), el("span", {}, label)),
    el("input", {
      id: "scan-input", "data-test": "scan-input", type: "text", autocomplete: "off", autocapitalize: "characters",
      autocorrect: "off", spellcheck: "false", enterkeyhint: "go", maxlength: 300,
    }),
    el("button", { class: "button", "data-test": "scan-go" }, say("ok")),
  );
  focus();
}

export function focus() {
  document.getElementById("scan-input")?.focus({ preventScroll: true });
}

/** Keeps the focus where a scanner types: keys that nobody wants go there, and after a while so does the focus. */
export function watch() {
  const form = document.getElementById("scan");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const input = document.getElementById("scan-input");
    const read = input.value;
    input.value = "";
    focus();
    if (read.trim()) once(read);
  });
  const unwanted = () => document.activeElement === document.body || document.activeElement === null;
  document.addEventListener("keydown", (event) => {
    lastTouched = Date.now();
    if (!form.hidden && unwanted() && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) focus();
  });
  document.addEventListener("pointerdown", () => { lastTouched = Date.now(); });
  setInterval(() => {
    if (form.hidden || document.querySelector("dialog[open]")) return;
    const typing = document.activeElement?.matches("input, select, textarea");
    if (unwanted() || (!typing && Date.now() - lastTouched > IDLE_MS)) focus();
  }, 1000);
}

let before = { text: "", at: 0 };

/** Hands on what was read, unless it is the same as a moment ago. */
async function once(read) {
  const { text } = understand(read);
  if (text === before.text && Date.now() - before.at < SAME_MS) return;
  before = { text, at: Date.now() };
  await receive(read);
  if (before.text === text) before.at = Date.now();
}
