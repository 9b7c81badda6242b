/** The panel that fills the screen with an outcome: a word, a drawing, a colour, a sound and what to do next. */

import { LeftOut, NoAnswer, Refused } from "./api.js";
import { button, el, fill, icon } from "./dom.js";
import { play } from "./sound.js";
import { store } from "./store.js";
import { day, moment, named, say, vnd } from "./words.js";

/** Tone and drawing of every verdict; the word is `verdict.<name>`. */
const LOOKS = {
  valid: ["good", "ok"], left: ["good", "ok"], in: ["good", "in"], paid: ["good", "ok"], sold: ["good", "ticket"],
  given_back: ["wait", "money"], unpaid: ["wait", "money"], already_in: ["wait", "warn"], announced: ["wait", "in"], rest: ["wait", "warn"], transfer: ["wait", "money"],
  used: ["bad", "stop"], already_left: ["bad", "stop"], revoked: ["bad", "cross"], wrong_place: ["bad", "pin"],
  wrong_day: ["bad", "day"], not_valid_yet: ["bad", "day"], over: ["bad", "day"], unknown: ["bad", "question"],
  wrong_kind: ["bad", "question"], mistyped: ["wait", "warn"], refused: ["bad", "cross"],
  checking: ["none", "shift"],
};

let closing;
let whenClosed = () => {};

/**
 * Shows an outcome until the next one, a tap or Escape.
 * @param {string} verdict a key of LOOKS
 * @param {{lead?: any, body?: any[], actions?: any[], after?: any[], quiet?: boolean, closed?: () => void, close?: string}} content
 *   `after` stands below the buttons, so that these are reached without scrolling
 */
export function show(verdict, { lead = "", body = [], actions = [], after = [], quiet = false, closed = () => {}, close } = {}) {
  const [tone, drawing] = LOOKS[verdict] ?? LOOKS.refused;
  const panel = document.getElementById("panel");
  const word = say(`verdict.${LOOKS[verdict] ? verdict : "refused"}`);
  whenClosed = closed;
  panel.dataset.verdict = verdict;
  panel.dataset.test = `verdict-${verdict}`;
  document.body.dataset.tone = tone;
  fill(panel,
    el("div", { class: "verdict-head" }, icon(drawing), el("h1", { "data-test": "verdict-word" }, word)),
    lead && el("p", { class: "verdict-lead", "data-test": "verdict-lead" }, lead),
    ...body.filter(Boolean),
    el("p", { class: "buttons verdict-actions" }, actions.filter(Boolean),
      verdict !== "checking" && button("verdict-close", close ?? say("close"), hide, { kind: "quiet" })),
    ...after.filter(Boolean),
  );
  panel.hidden = false;
  document.getElementById("screen").hidden = true;
  window.scrollTo(0, 0);
  // Where a scanner types, the focus stays; elsewhere Enter goes on.
  if (document.getElementById("scan").hidden) panel.querySelector("button")?.focus({ preventScroll: true });
  announce(`${word}. ${lead?.textContent ?? lead}`);
  if (!quiet) play(tone);
  clearTimeout(closing);
  if (store.settings.closeAfter > 0 && actions.length === 0) closing = setTimeout(hide, store.settings.closeAfter * 1000);
}

/** A refusal of the server in its own words. Without the shift it was for, work begins anew at the shift. */
export function showRefusal(error) {
  const over = ["shift_closed_by_office", "shift_over"].includes(error.code);
  const closed = over ? () => document.dispatchEvent(new CustomEvent("go", { detail: "shift" })) : undefined;
  show("refused", { lead: error.message || say("error.unexpected"), closed });
}

/**
 * Waits for an outcome. If it takes its time, the last one is taken away: nobody may go in on another one's green.
 * @template T @param {Promise<T>} doing @returns {Promise<T>}
 */
export async function checking(doing) {
  const late = setTimeout(() => show("checking", { quiet: true }), 150);
  try {
    return await doing;
  } finally {
    clearTimeout(late);
    if (document.getElementById("panel").dataset.verdict === "checking") hide();
  }
}

/** Waits for an outcome; shows a refusal in its own words and says whether there is an outcome. */
export async function attempt(doing) {
  try {
    return await checking(doing);
  } catch (error) {
    if (error instanceof Refused) showRefusal(error);
    else if (error instanceof NoAnswer) show("refused", { lead: say("network.lost_read") });
    else if (!(error instanceof LeftOut)) throw error;
    return null;
  }
}

export function isShown() {
  return !document.getElementById("panel").hidden;
}

export function hide() {
  clearTimeout(closing);
  const panel = document.getElementById("panel");
  if (panel.hidden) return;
  panel.hidden = true;
  fill(panel);
  delete panel.dataset.verdict;
  delete panel.dataset.test;
  delete document.body.dataset.tone;
  document.getElementById("screen").hidden = false;
  whenClosed();
  whenClosed = () => {};
}

/** Says a sentence to a screen reader, also when it is the same as before. */
export function announce(sentence) {
  const spoken = document.getElementById("spoken");
  spoken.textContent = "";
  requestAnimationFrame(() => { spoken.textContent = sentence; });
}

/** The answer of a gate about a ticket. `admitRest(n)` admits those of the group who are still outside. */
export function showTicket(outcome, { admitRest }) {
  const { heads = 0, admitted_now: now = 0, admitted_total: total = 0 } = outcome;
  const left = heads - total;
  const group = heads > 1 && el("p", { class: "heads", "data-test": "heads" }, say("gate.admitted", { total, heads }));
  const code = outcome.short && el("p", { class: "verdict-code" }, outcome.short.replace(/^(\w{5})(\w{5})$/, "$1 $2"));
  const lines = el("ul", { class: "lines", "data-test": "lines" }, (outcome.lines ?? []).map((line) =>
    el("li", {}, el("b", {}, `${line.heads} ${named(line)}`), named(line, "proof") && el("span", {}, `: ${named(line, "proof")}`))));
  const verdict = outcome.verdict;
  if (verdict === "valid") {
    show("valid", {
      lead: heads > 1 || now > 1 ? say("gate.admit", { heads: now }) : say("gate.admit_one"),
      body: [lines, group, left > 0 && el("p", { class: "heads" }, say("gate.left", { left })), code],
    });
  } else if (verdict === "used" && left > 0) {
    show("rest", {
      lead: say("gate.only_left", { left }), body: [group, lines, code],
      actions: [button("admit-rest", say("gate.admit_rest", { left }), () => admitRest(left))],
    });
  } else if (verdict === "used") {
    const when = outcome.last_used_at ?? outcome.first_used_at;
    show("used", {
      lead: when ? say(outcome.last_used_where ? "gate.used_at" : "gate.used_when", { when: moment(when), where: outcome.last_used_where }) : "",
      body: [heads > 1 && group, code],
    });
  } else if (verdict === "unpaid") {
    const due = outcome.due_vnd ?? outcome.amount_vnd;
    show("unpaid", {
      lead: due ? vnd(due) : say("gate.unpaid"), body: [el("p", {}, say("gate.unpaid_hint")), code],
    });
  } else if (verdict === "wrong_place") {
    const where = named(outcome, "place_name");
    show("wrong_place", { lead: where ? say("gate.right_place", { where }) : say("gate.other_place"), body: [code] });
  } else if (["wrong_day", "not_valid_yet", "over"].includes(verdict)) {
    show(verdict, { lead: outcome.day ? say("gate.right_day", { day: day(outcome.day) }) : "", body: [code] });
  } else {
    show(verdict in LOOKS ? verdict : "refused", { lead: say(`gate.${verdict}_hint`), body: [code] });
  }
}
