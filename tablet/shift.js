/**
 * The shift: opened with a float counted note by note, counted blind and once, handed over to somebody who signs for it.
 * What should be in the drawer is said only by the answer of the count.
 */

import { act, ask } from "./api.js";
import { button, el, facts, field, fill, icon } from "./dom.js";
import * as drop from "./drop.js";
import { notesField, sumOf } from "./notes.js";
import * as scan from "./scan.js";
import { keep, store } from "./store.js";
import { attempt } from "./verdict.js";
import { witnessForm } from "./witness.js";
import { moment, named, say, vnd } from "./words.js";

const REASONS = ["change", "sale", "counterfeit", "lost", "other"];

/** Which of the shift's forms is open: "", "count", "drop". */
let doing = "";

export function render(screen, go) {
  scan.listen(null);
  const again = () => render(screen, go);
  fill(screen,
    el("h1", {}, say("shift.title")),
    overruled(again),
    !store.shift ? opening(screen, go) : store.shift.counted_at ? handing(screen, go) : working(screen, go),
    !store.shift?.counted_at && el("section", { class: "card row" },
      el("span", { class: "grow" }, el("b", {}, store.session.attendant.name), el("br"), el("span", { class: "muted" }, say("login.number", { number: store.session.attendant.login }))),
      button("logout", say("logout"), logout, { kind: "quiet" })));
}

/** The office has closed this shift: said until the attendant has read it. */
function overruled(again) {
  const ended = store.overruled;
  return ended && el("div", { class: "notice warn", role: "alert", "data-test": "overruled" }, icon("warn"), el("div", {},
    el("p", {}, el("b", {}, say("shift.closed_by_office", { ...ended, at: moment(ended.at) }))), el("p", {}, say("shift.closed_by_office_hint")),
    button("overruled-read", say("shift.understood"), () => { keep({ overruled: null }); again(); }, { kind: "quiet" })));
}

function opening(screen, go) {
  const choices = store.places.length > 1 && el("fieldset", { class: "choices" }, el("legend", {}, say("shift.where")),
    store.places.map((place, index) => el("label", { class: "choice" },
      el("input", { type: "radio", name: "shift-place", value: place.number, checked: index === 0, "data-test": `shift-place-${place.code}` }), el("span", {}, named(place)))));
  const counted = notesField("float", { label: say("shift.float") });
  return el("form", {
    class: "card",
    on: { submit: async (event) => {
      event.preventDefault();
      const place = Number(document.querySelector("[name=shift-place]:checked")?.value ?? store.places[0].number);
      const shift = await attempt(act("/shift/open", { place, notes: counted.notes }));
      if (shift) settleOpen(shift, screen, go);
    } },
  }, el("h2", {}, say("shift.open")), el("p", { class: "muted" }, say("shift.open_hint")), choices, counted.node,
  el("button", { class: "button tall", "data-test": "shift-open" }, say("shift.open")));
}

export function settleOpen(shift, screen = document.getElementById("screen"), go = () => {}) {
  doing = "";
  keep({ shift, overruled: null });
  document.dispatchEvent(new Event("shift"));
  render(screen, go);
}

/** An open shift: what it is, notes for the safe, and its count. */
function working(screen, go) {
  const again = (next = "") => { doing = next; render(screen, go); };
  const about = el("section", { class: "card", "data-test": "shift-is-open" },
    el("h2", {}, say("shift.number", { number: store.shift.number })),
    facts([
      [say("shift.where"), named(store.places.find((one) => one.number === store.shift.place))],
      [say("shift.since"), moment(store.shift.opened_at)],
      [say("shift.float"), vnd(store.shift.float_vnd)], [say("shift.receipts"), store.shift.receipts],
    ]),
    doing === "" && el("p", { class: "buttons" },
      button("shift-count", say("shift.count"), () => again("count"), { drawing: "money", kind: "tall" }),
      button("shift-drop", say("drop.title"), () => again("drop"), { drawing: "in", kind: "quiet tall" })));
  return [about, drop.waiting(again), doing === "count" && counting(screen, go, again), doing === "drop" && drop.form(again)];
}

function counting(screen, go, again) {
  const counted = notesField("counted", { label: say("shift.counted") });
  const confirm = el("div", { class: "notice warn", hidden: true });
  return el("form", {
    class: "card", "data-test": "counting",
    on: { submit: (event) => {
      event.preventDefault();
      confirm.replaceChildren(icon("warn"), el("div", {},
        el("p", {}, say("shift.sure", { amount: vnd(sumOf(counted.notes)) })),
        el("p", { class: "buttons" },
          button("count-sure", say("shift.count_sure"), async () => {
            const outcome = await attempt(act("/shift/count", { shift: store.shift.id, notes: counted.notes }));
            if (outcome) settleCount(outcome, { notes: counted.notes }, screen, go);
          }),
          button("count-not", say("cancel"), () => { confirm.hidden = true; }, { kind: "quiet" }))));
      confirm.hidden = false;
      confirm.querySelector("button").focus();
    } },
  }, el("h2", {}, say("shift.count")), el("p", { class: "muted" }, say("shift.count_hint")), counted.node,
  el("p", { class: "buttons" }, el("button", { class: "button tall", "data-test": "count-go" }, say("shift.count_go")),
    button("count-cancel", say("cancel"), () => again(), { kind: "quiet tall" })), confirm);
}

export function settleCount(outcome, body, screen = document.getElementById("screen"), go = () => {}) {
  doing = "";
  keep({ shift: { ...store.shift, counted_at: new Date().toISOString() }, counted: { ...outcome, notes: body.notes } });
  document.dispatchEvent(new Event("shift"));
  render(screen, go);
}

const verdictOf = (difference) => el("p", { class: `notice ${difference === 0 ? "ok" : "warn"}`, role: "status", "data-test": "difference" },
  icon(difference === 0 ? "ok" : "warn"),
  el("b", {}, say(difference === 0 ? "shift.right" : difference > 0 ? "shift.over" : "shift.short", { amount: vnd(Math.abs(difference)) })));

/** A counted shift: its difference, why, and who takes the notes. */
function handing(screen, go) {
  const { expected_vnd: expected, counted_vnd: sum, difference_vnd: difference, notes } = store.counted ?? {};
  const known = expected !== undefined;
  const chosen = { reason: "", float: false };
  const words = field("why", say("shift.words"), { maxlength: 300 });
  const reasons = (!known || difference !== 0) && el("fieldset", { class: "choices", "data-test": "reasons" }, el("legend", {}, say("shift.why")),
    REASONS.map((reason) => el("label", { class: "choice" },
      el("input", { type: "radio", name: "reason", value: reason, "data-test": `reason-${reason}`, on: { change: () => { chosen.reason = reason; } } }),
      el("span", {}, say(`shift.reason.${reason}`)))), words);
  const next = known && notesField("next-float", { label: say("shift.next_float"), start: notes, most: notes });
  const keeps = el("div", { hidden: true }, el("p", { class: "muted" }, say("shift.next_float_hint")), next && next.node);
  const way = el("fieldset", { class: "choices" }, el("legend", {}, say("shift.whereto")),
    [["safe", false], ["next", true]].map(([name, float]) => (known || !float) && el("label", { class: "choice" },
      el("input", { type: "radio", name: "whereto", value: name, checked: !float, "data-test": `whereto-${name}`, on: { change: () => { chosen.float = float; keeps.hidden = !float; } } }),
      el("span", {}, say(`shift.whereto.${name}`)))), keeps);
  const signed = async ({ witness }, complain) => {
    if (known && difference !== 0 && !chosen.reason) return complain(say("shift.reason_first"));
    const body = { shift: store.shift.id, witness, reason: chosen.reason || null, words: words.querySelector("input").value.trim() };
    const report = await attempt(act("/shift/close", { ...body, next_float: chosen.float ? next.notes : null }));
    if (report) settleClose(report, screen, go);
  };
  return el("section", { class: "card", "data-test": "handing" },
    el("h2", {}, say("shift.number", { number: store.shift.number })),
    known ? [verdictOf(difference), facts([[say("shift.expected"), vnd(expected), "expected"], [say("shift.counted"), vnd(sum), "counted-result"]])]
      : el("p", { class: "notice info" }, icon("warn"), say("shift.is_counted")),
    reasons, way,
    witnessForm("receiver", { lead: say("shift.receiver_hint"), go: say("shift.close"), signs: "shift.close", signed }));
}

export function settleClose(report, screen = document.getElementById("screen"), go = () => {}) {
  keep({ shift: null, counted: null });
  document.dispatchEvent(new Event("shift"));
  render(screen, go);
  screen.prepend(reportOf(report));
  screen.firstElementChild.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** The report of a shift, as its attendant may keep it. */
function reportOf(report) {
  const late = report.proxies.filter((one) => one.received_vnd < one.amount_vnd);
  const some = (amount) => amount !== 0 && vnd(amount);
  return el("section", { class: "card", "data-test": "shift-result", tabindex: -1 },
    el("h1", {}, say("shift.report", { number: report.number, place: report.place_code })),
    verdictOf(report.difference_vnd),
    facts([
      [say("shift.float"), vnd(report.float_vnd)], [say("shift.cash"), vnd(report.cash_vnd)], [say("shift.proxy_notes"), some(report.proxy_vnd)],
      [say("shift.proxy"), some(-report.proxy_arrived_vnd)], [say("drop.safe"), some(-report.dropped_vnd)], [say("shift.refunded"), some(-report.refunded_vnd)],
      [say("shift.expected"), vnd(report.expected_vnd), "expected"], [say("shift.counted"), vnd(report.counted_vnd), "counted-result"],
      [say("shift.why"), report.reason && [say(`shift.reason.${report.reason}`), report.words].filter(Boolean).join(": ")],
      [say("shift.receipts"), report.receipts], [say("shift.signed_by"), report.countersigned_by, "signed-by"],
      [say("shift.next_shift"), report.next_shift && `${report.next_shift}: ${vnd(report.next_float_vnd)}`, "next-shift"],
    ]),
    late.length > 0 && el("div", { class: "notice warn", "data-test": "still-owed" }, icon("warn"), el("div", {},
      el("p", {}, say("shift.still_owed")),
      el("ul", {}, late.map((one) => el("li", {}, say("shift.owed", { receipt: one.receipt, amount: vnd(one.amount_vnd - one.received_vnd), reference: one.reference })))))),
    el("p", { class: "muted digest" }, say("shift.digest", { digest: report.sha256.slice(0, 16) })));
}

async function logout() {
  try {
    await ask("/logout", {}, { method: "POST" });
  } catch {
    // Without a network the session ends by itself; this tablet forgets it now.
  }
  keep({ session: null, shift: null, counted: null });
  document.dispatchEvent(new Event("logout"));
}
