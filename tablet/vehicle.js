/** Vehicles: in, out, looking for one, and notes for one. */

import { act, ask } from "./api.js";
import { counted, receipt, transfer } from "./cash.js";
import { button, el, facts, field, fill, icon, picture } from "./dom.js";
import { admit } from "./gate.js";
import * as scan from "./scan.js";
import { placeOf, store } from "./store.js";
import { attempt, hide, show } from "./verdict.js";
import { hour, moment, named, say, vnd } from "./words.js";

let mode = "in";

export function render(screen) {
  const place = placeOf("parking");
  const tab = (name, drawing) => el(
    "button",
    { type: "button", class: "segment", "aria-pressed": String(mode === name), "data-test": `lot-${name}`,
      on: { click: () => { mode = name; render(screen); } } },
    icon(drawing), el("span", {}, say(`lot.${name}`)));
  const body = { in: entrance, out: exit, find: search }[mode](place);
  fill(screen,
    el("h1", { class: "visually-hidden" }, say("tab.lot")),
    el("div", { class: "segments", role: "group", "aria-label": say("tab.lot") }, tab("in", "in"), tab("out", "out"), tab("find", "find")),
    ...body);
  if (mode === "in") {
    scan.listen(null);
    document.getElementById("plate")?.focus({ preventScroll: true });
  } else if (mode === "out") scan.listen(read, say("lot.scan_here"));
  else {
    scan.listen(null);
    document.getElementById("find-plate")?.focus({ preventScroll: true });
  }
}

// Long enough for a scanner that types a whole code where a plate is asked for.
const PLATE = { class: "plate", autocapitalize: "characters", autocorrect: "off", maxlength: 300, lang: "vi" };

function entrance(place) {
  const hint = el("p", { class: "notice warn", role: "alert", hidden: true, "data-test": "plate-missing" }, icon("warn"), say("lot.plate_missing"));
  const enter = (vehicleClass) => {
    const typed = document.getElementById("plate").value.trim();
    const without = document.getElementById("no-plate").checked;
    hint.hidden = Boolean(typed || without);
    if (!hint.hidden) return document.getElementById("plate").focus();
    return bringIn(vehicleClass, without ? null : typed);
  };
  const toggle = el("input", {
    type: "checkbox", id: "no-plate", "data-test": "no-plate",
    on: { change: (event) => {
      const plate = document.getElementById("plate");
      plate.disabled = event.target.checked;
      if (!event.target.checked) plate.focus();
    } },
  });
  const classes = place.classes ?? [];
  const submit = (event) => {
    event.preventDefault();
    const seen = scan.understand(document.getElementById("plate").value);
    // A code scanned here is a vehicle that leaves: no tap to change sides.
    if (seen.type === "code" || seen.type === "short") return read(seen.text);
    if (classes.length === 1) return enter(classes[0].code);
    document.querySelector(".classes button")?.focus();
  };
  return [
    el("form", { class: "entrance", on: { submit } },
      field("plate", say("lot.plate"), PLATE, say("lot.plate_hint")),
      el("label", { class: "choice" }, toggle, el("span", {}, say("lot.no_plate"))), hint,
      el("p", { class: "ask" }, say("lot.which_class")),
      el("div", { class: "classes" }, classes.map((one) =>
        button(`class-${one.code}`, named(one), () => enter(one.code), { drawing: one.code, kind: "tall" })))),
  ];
}

function exit() {
  return [el("div", { class: "ready" }, icon("out"), el("h1", {}, say("lot.out_ready")), el("p", { class: "muted" }, say("lot.out_hint")))];
}

function search() {
  const found = el("div", { id: "found", "data-test": "found" });
  return [
    el("form", { class: "filters", on: { submit: (event) => { event.preventDefault(); find(document.getElementById("find-plate").value, found); } } },
      field("find-plate", say("lot.find_field"), { ...PLATE, enterkeyhint: "search", "aria-describedby": "find-hint" }),
      el("button", { class: "button", "data-test": "find-go" }, icon("find"), el("span", {}, say("lot.find")))),
    el("p", { class: "muted small", id: "find-hint" }, say("lot.find_hint")),
    found,
  ];
}

async function bringIn(vehicleClass, plate) {
  const outcome = await attempt(act("/vehicles/in", { place: placeOf("parking").number, vehicle_class: vehicleClass, plate }));
  if (outcome) settleIn(outcome);
}

/** Shows a vehicle that came in, with the code for the visitor to photograph. */
export function settleIn(outcome) {
  const { stay, warnings = [] } = outcome;
  const announced = outcome.verdict === "already_in" && byVisitor(stay);
  show(announced ? "announced" : outcome.verdict === "already_in" ? "already_in" : "in", {
    lead: el("span", {}, el("span", { class: "plate" }, stay.plate ?? say("lot.no_plate")), ` · ${className(stay)}`),
    body: [
      announced && el("div", { class: "inset", "data-test": "announced" }, el("p", {}, icon("shift"), say("lot.begun_by_visitor", { when: moment(stay.entered_at) }))),
      warnings.length > 0 && el("div", { class: "inset", "data-test": "warnings" }, warnings.map((name) => el("p", {}, icon("warn"), say(`warning.${name}`)))),
      el("div", { class: "handout" },
        stay.code_url && picture(stay.code_url, say("lot.photograph")),
        el("div", { class: "inset" },
          el("p", { class: "short", "data-test": "short" }, stay.short),
          facts([[say("lot.entered"), entered(stay)], [say("lot.tariff"), named(stay, "tariff").split("; ").map((price) => el("div", {}, price))]]))),
    ],
    close: say("lot.next_vehicle"),
    closed: again,
  });
}

const byVisitor = (stay) => stay.begun_by === "visitor";

/** Since when the fee counts, and that the visitor said so, for whoever must explain the amount. */
const entered = (stay) => (byVisitor(stay) ? say("lot.entered_by_visitor", { when: moment(stay.entered_at) }) : moment(stay.entered_at));

/** Back to an empty form for the next vehicle. */
function again() {
  const screen = document.getElementById("screen");
  if (screen.dataset.name === "lot") render(screen);
}

function className(stay) {
  return named(placeOf("parking")?.classes?.find((one) => one.code === stay.vehicle_class)) || (stay.vehicle_class ?? "");
}

/** What was read at the exit: a code, a short code or a plate. */
async function read(text) {
  const seen = scan.understand(text);
  if (seen.kind === "ticket") return admit(seen.text);
  if (seen.type === "code" || seen.type === "short") return out({ code: seen.text });
  const answer = await attempt(ask("/vehicles/find", { place: placeOf("parking").number, plate: seen.text }));
  if (!answer) return;
  if (answer.stays.length === 0) return show(seen.type === "mistyped" ? "mistyped" : "unknown", { lead: say("lot.nothing_found", { text: seen.text }) });
  hide();
  document.getElementById("screen").lastElementChild.replaceWith(el("div", { class: "ready left", "data-test": "found" }, answer.stays.map(card)));
}

async function find(text, into) {
  const seen = scan.understand(text);
  if (!seen.text) return;
  const by = seen.type === "code" ? { code: seen.text } : seen.type === "short" ? { short: seen.text } : { plate: seen.text };
  const answer = await attempt(ask("/vehicles/find", { place: placeOf("parking").number, ...by }));
  if (!answer) return;
  into.replaceChildren(...(answer.stays.length > 0 ? answer.stays.map(card) : [el("p", { class: "notice info", role: "status" }, icon("find"), say("lot.nothing_found", { text }))]));
}

/** A vehicle inside: what it owes, and what can be done. */
function card(stay) {
  return el("article", { class: "card stay", "data-test": "stay" },
    el("h2", {}, el("span", { class: "plate" }, stay.plate ?? say("lot.no_plate")), ` · ${className(stay)}`),
    facts([
      [say("code"), stay.short], [say("lot.entered"), entered(stay)],
      [say("lot.counted"), named(stay, "parts")], [say("lot.fee"), vnd(stay.fee_vnd)], [say("lot.due"), vnd(stay.due_vnd), "due"],
    ]),
    el("p", { class: "buttons" },
      button("stay-out", say("lot.out"), () => out({ stay_id: stay.id }), { drawing: "out" }),
      stay.due_vnd > 0 && store.shift && button("stay-cash", say("cash.take", { amount: vnd(stay.due_vnd) }), () => take(stay, stay.due_vnd, false), { drawing: "money", kind: "quiet" })));
}

/** @param {{code?: string, stay_id?: string}} which */
export async function out(which, receipt = "") {
  const outcome = await attempt(act("/vehicles/out", { place: placeOf("parking").number, ...which }));
  if (outcome) settleOut(outcome, which, receipt);
}

/** Shows whether a vehicle may leave, and how it can pay if not. */
export function settleOut(outcome, which, receipt = "") {
  const { verdict, stay } = outcome;
  const who = stay && el("span", {}, el("span", { class: "plate" }, stay.plate ?? say("lot.no_plate")), ` · ${className(stay)}`);
  const since = stay && [say("lot.entered"), entered(stay)];
  const inset = (rows) => el("div", { class: "inset" }, facts(rows.filter(Boolean)));
  if (verdict === "left") {
    return show("left", { lead: who, body: [inset([since, outcome.left_at && [say("lot.left_at"), hour(outcome.left_at)], outcome.fee_vnd !== undefined && [say("lot.fee"), vnd(outcome.fee_vnd)], [say("cash.receipt"), receipt, "receipt"]])], closed: again });
  }
  if (verdict !== "unpaid") {
    const hint = verdict === "already_left" && outcome.left_at ? say("lot.left_before", { when: moment(outcome.left_at) }) : say(`lot.${verdict}_hint`);
    return show(verdict, { lead: hint, body: [who && el("p", {}, who)], closed: again });
  }
  const due = outcome.due_vnd;
  const address = stay.code_url ?? (which.code?.length === 48 ? `/T/${which.code}` : null);
  const shown = el("div", { hidden: true });
  const sells = store.shift && !store.shift.counted_at;
  return show("unpaid", {
    lead: el("span", { class: "amount", "data-test": "due" }, vnd(due)),
    body: [el("p", {}, who), shown],
    after: [inset([since, [say("lot.counted"), named(stay, "parts")], [say("lot.fee"), vnd(outcome.fee_vnd ?? due)]])],
    actions: [
      !sells && button("open-shift", say("cash.open_first"), () => document.dispatchEvent(new CustomEvent("go", { detail: "shift" })), { drawing: "shift" }),
      sells && button("pay-cash", say("cash.take", { amount: vnd(due) }), () => take(stay, due, false, which), { drawing: "money" }),
      sells && button("pay-proxy", say("cash.proxy"), () => take(stay, due, true, which), { drawing: "phone", kind: "quiet" }),
      address && button("pay-qr", say("lot.show_qr"), () => {
        shown.replaceChildren(picture(address, say("lot.visitor_pays")));
        shown.hidden = false;
        shown.scrollIntoView({ block: "nearest" });
      }, { drawing: "qr", kind: "quiet" }),
      button("check-again", say("lot.check_again"), () => out(which), { kind: "quiet" }),
    ],
    closed: again,
  });
}

/** Notes for a stay; `leaving` is how its driver asked to go, so that paid means gone without another tap. */
async function take(stay, amount, proxy, leaving = null) {
  const doing = act("/cash/stay", { place: placeOf("parking").number, stay_id: stay.id, amount_vnd: amount, proxy, shift: store.shift?.id ?? null });
  const outcome = await attempt(doing.catch((error) => {
    // The fee went on while people searched for notes: show what it is now.
    if (error.code === "amount_changed" && leaving) return { changed: true };
    throw error;
  }));
  if (!outcome) return;
  if (outcome.changed) return out(leaving);
  if (leaving && !outcome.pay) {
    counted();
    return out(leaving, outcome.receipt_number);
  }
  settlePaid(outcome, leaving ?? { stay_id: stay.id });
}

/** Shows that a stay is paid in notes, and lets it leave. */
export function settlePaid(outcome, leaving) {
  counted();
  const leave = button("leave-now", say("lot.leaves_now"), () => { hide(); out(leaving); }, { drawing: "out" });
  if (outcome.pay) return transfer(outcome, { actions: [leave] });
  return show("paid", { lead: vnd(outcome.amount_vnd), body: [receipt(outcome)], actions: [leave] });
}
