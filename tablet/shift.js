/** The shift: opened with a float, closed blind. What should be in the drawer is said only after it was counted. */

import { act, ask } from "./api.js";
import { button, el, facts, field, fill, icon } from "./dom.js";
import * as scan from "./scan.js";
import { keep, store } from "./store.js";
import { attempt } from "./verdict.js";
import { moment, named, say, vnd } from "./words.js";

const NOTES = [500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000];

export function render(screen, go) {
  scan.listen(null);
  fill(screen,
    el("h1", {}, say("shift.title")),
    store.shift ? openShift(screen, go) : opening(screen, go),
    el("section", { class: "card row" },
      el("span", { class: "grow" }, el("b", {}, store.session.attendant.name), el("br"), el("span", { class: "muted" }, say("login.number", { number: store.session.attendant.login }))),
      button("logout", say("logout"), logout, { kind: "quiet" })));
}

/** An amount of notes: typed, or added up note by note. */
function moneyField(id, label) {
  const shown = el("p", { class: "counted", "aria-live": "polite" }, vnd(0));
  const show = () => { shown.textContent = vnd(amountOf(id)); };
  const notes = NOTES.map((note) => el("input", { type: "number", min: 0, max: 9999, inputmode: "numeric", "aria-label": vnd(note), "data-note": note, "data-test": `${id}-${note}` }));
  const add = () => {
    document.getElementById(id).value = String(notes.reduce((sum, input) => sum + (Number.parseInt(input.value, 10) || 0) * Number(input.dataset.note), 0));
    show();
  };
  return el("div", {},
    field(id, label, { inputmode: "numeric", class: "money", on: { input: show } }), shown,
    el("details", { class: "fold" }, el("summary", {}, say("shift.by_notes")),
      el("div", { class: "notes", on: { input: add } }, notes.map((input) => el("label", {}, el("span", {}, `${vnd(Number(input.dataset.note))} ×`), input)))));
}

/** Digits of a field, whatever stands between them: 1.500.000, 1,500,000. */
const amountOf = (id) => Number.parseInt(document.getElementById(id).value.replace(/\D/g, ""), 10) || 0;

function opening(screen, go) {
  const choices = store.places.length > 1 && el("fieldset", { class: "choices" }, el("legend", {}, say("shift.where")),
    store.places.map((place, index) => el("label", { class: "choice" },
      el("input", { type: "radio", name: "shift-place", value: place.number, checked: index === 0, "data-test": `shift-place-${place.code}` }), el("span", {}, named(place)))));
  return el("form", {
    class: "card",
    on: { submit: async (event) => {
      event.preventDefault();
      const place = Number(document.querySelector("[name=shift-place]:checked")?.value ?? store.places[0].number);
      const shift = await attempt(act("/shift/open", { place, float_vnd: amountOf("float") }));
      if (shift) settleOpen(shift, screen, go);
    } },
  }, el("h2", {}, say("shift.open")), el("p", { class: "muted" }, say("shift.open_hint")), choices, moneyField("float", say("shift.float")),
  el("button", { class: "button tall", "data-test": "shift-open" }, say("shift.open")));
}

export function settleOpen(shift, screen = document.getElementById("screen"), go = () => {}) {
  keep({ shift });
  document.dispatchEvent(new Event("shift"));
  render(screen, go);
}

function openShift(screen, go) {
  const place = store.places.find((one) => one.number === store.shift.place);
  const confirm = el("div", { class: "notice warn", hidden: true });
  return el("section", { class: "card", "data-test": "shift-is-open" },
    el("h2", {}, say("shift.number", { number: store.shift.number })),
    facts([
      [say("shift.where"), named(place)], [say("shift.since"), moment(store.shift.opened_at)],
      [say("shift.float"), vnd(store.shift.float_vnd)], [say("shift.receipts"), store.shift.receipts],
    ]),
    el("form", {
      on: { submit: (event) => {
        event.preventDefault();
        if (document.getElementById("counted").value.trim() === "") return document.getElementById("counted").focus();
        confirm.replaceChildren(icon("warn"), el("div", {},
          el("p", {}, say("shift.sure", { amount: vnd(amountOf("counted")) })),
          el("p", { class: "buttons" },
            button("shift-close-sure", say("shift.close_sure"), () => close(amountOf("counted"), screen, go)),
            button("shift-close-not", say("cancel"), () => { confirm.hidden = true; }, { kind: "quiet" }))));
        confirm.hidden = false;
        confirm.querySelector("button").focus();
      } },
    }, el("h2", {}, say("shift.close")), el("p", { class: "muted" }, say("shift.close_hint")), moneyField("counted", say("shift.counted")),
    el("button", { class: "button tall", "data-test": "shift-close" }, say("shift.close")), confirm));
}

async function close(counted, screen, go) {
  const outcome = await attempt(act("/shift/close", { counted_vnd: counted }));
  if (outcome) settleClose(outcome, screen, go);
}

export function settleClose(outcome, screen = document.getElementById("screen"), go = () => {}) {
  keep({ shift: null });
  document.dispatchEvent(new Event("shift"));
  const difference = outcome.difference_vnd;
  const word = difference === 0 ? "shift.right" : difference > 0 ? "shift.over" : "shift.short";
  render(screen, go);
  screen.prepend(el("section", { class: "card", "data-test": "shift-result", tabindex: -1 },
    el("h1", {}, say("shift.number", { number: outcome.number })),
    el("p", { class: `notice ${difference === 0 ? "ok" : "warn"}`, role: "status", "data-test": "difference" }, icon(difference === 0 ? "ok" : "warn"),
      el("b", {}, say(word, { amount: vnd(Math.abs(difference)) }))),
    facts([
      [say("shift.float"), vnd(outcome.float_vnd)], [say("shift.cash"), vnd(outcome.cash_vnd)],
      // Notes of guests stay in the drawer until the attendant's own transfer has arrived.
      [say("shift.proxy_open"), outcome.proxy_vnd > outcome.proxy_arrived_vnd && vnd(outcome.proxy_vnd - outcome.proxy_arrived_vnd)],
      [say("shift.expected"), vnd(outcome.expected_vnd), "expected"], [say("shift.counted"), vnd(outcome.counted_vnd), "counted-result"],
      [say("shift.receipts"), outcome.receipts], [say("shift.proxy"), outcome.proxy_arrived_vnd > 0 && vnd(outcome.proxy_arrived_vnd)],
    ])));
  screen.firstElementChild.focus();
}

async function logout() {
  try {
    await ask("/logout", {}, { method: "POST" });
  } catch {
    // Without a network the session ends by itself; this tablet forgets it now.
  }
  keep({ session: null, shift: null });
  document.dispatchEvent(new Event("logout"));
}
