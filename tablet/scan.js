/** The scan field, for scanners that type and for people who do, and the gate that reads tickets with it. */

import { act, LeftOut, Refused } from "./api.js";
import { el, fill, icon, stepper } from "./dom.js";
import { keep, placeOf, store } from "./store.js";
import { announce, checking, isShown, show, showRefusal, showTicket } from "./verdict.js";
import { say, today } from "./words.js";
import * as vehicle from "./vehicle.js";

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

/** The heads to admit with the next scan; null is all that remain. */
let wanted = null;

export function render(screen) {
  const { settings } = store;
  count(0, 0);
  listen(read, say("gate.scan_here"));
  fill(screen,
    el("div", { class: "ready" }, icon("gate"), el("h1", {}, say("gate.ready")), el("p", { class: "muted" }, say("gate.ready_hint"))),
    settings.countHeads && el("div", { class: "card row heads-wanted" },
      el("span", { class: "grow" }, el("b", {}, say("gate.how_many")), el("br"), el("span", { "data-test": "heads-now" }, headsNow())),
      stepper("heads-wanted", say("gate.how_many"), {
        value: 0, max: 255, less: say("less"), more: say("more"),
        changed: (heads) => {
          wanted = heads || null;
          document.querySelector("[data-test=heads-now]").textContent = headsNow();
        },
      })),
    el("p", { class: "counter", role: "status" }, el("strong", { "data-test": "today-heads" }, String(store.today.heads)),
      ` ${say("gate.today", { scans: store.today.scans })}`),
  );
}

const headsNow = () => (wanted === null ? say("gate.all_heads") : say("gate.some_heads", { heads: wanted }));

function count(heads, scans) {
  const now = store.today.day === today() ? store.today : { day: today(), heads: 0, scans: 0 };
  keep({ today: { ...now, heads: now.heads + heads, scans: now.scans + scans } });
}

/** A scan at the gate. */
export async function read(text) {
  const seen = understand(text);
  if (seen.type === "mistyped") return show("mistyped", { lead: say("gate.mistyped") });
  if (seen.type === "other") return show("unknown", { lead: say("gate.not_ours") });
  if (seen.kind === "stay" || seen.kind === "leave") {
    if (placeOf("parking")) return vehicle.out({ code: seen.text });
    return show("wrong_kind", { lead: say("gate.parking_code") });
  }
  const heads = wanted;
  wanted = null;
  return admit(seen.text, heads);
}

async function admit(code, heads) {
  const place = placeOf("ticketing");
  if (!place) return show("wrong_kind", { lead: say("lot.ticket_code") });
  try {
    settle(await checking(act("/scan", { place: place.number, code, heads })), code);
  } catch (error) {
    if (error instanceof Refused) showRefusal(error);
    else if (!(error instanceof LeftOut)) throw error;
  }
}

/** Shows the outcome of a scan. */
export function settle(outcome, code) {
  // Seen twice by the scanner: what stands there is still right.
  if (outcome.verdict === "repeated") return isShown() ? undefined : announce(say("verdict.repeated"));
  count(outcome.admitted_now ?? 0, 1);
  const screen = document.getElementById("screen");
  if (screen.dataset.name === "gate") render(screen);
  showTicket(outcome, { admitRest: (left) => admit(code, left) });
}

/** A ticket that was scanned while the lot was open. */
export const ticket = (code) => admit(code, null);
