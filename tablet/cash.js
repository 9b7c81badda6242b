/** Notes in the drawer: for tickets, and the honest button for cash that the attendant transfers. */

import { act } from "./api.js";
import { button, el, facts, fill, icon, picture, stepper } from "./dom.js";
import * as refund from "./refund.js";
import * as scan from "./scan.js";
import { keep, placeOf, store } from "./store.js";
import { attempt, show } from "./verdict.js";
import { hour, named, say, vnd } from "./words.js";

/** @type {Record<string, number>} */
let heads = {};

export function render(screen, go) {
  scan.listen(null);
  heads = {};
  const site = placeOf("ticketing");
  fill(screen,
    el("h1", {}, say("cash.title")),
    !sells() && noShift(go),
    site && ticketForm(site),
    placeOf("parking") && el("section", { class: "card" },
      el("h2", {}, say("cash.for_vehicle")), el("p", { class: "muted" }, say("cash.for_vehicle_hint")),
      button("cash-find", say("lot.find"), () => go("lot"), { drawing: "find", kind: "quiet" })),
    sells() && refund.form());
}

/** Notes are taken in a shift that is open and not yet counted. */
const sells = () => Boolean(store.shift) && !store.shift.counted_at;

function noShift(go) {
  return el("div", { class: "notice warn", "data-test": "no-shift" }, icon("warn"),
    el("div", {}, el("p", {}, say(store.shift ? "cash.counted" : "cash.no_shift")),
      button("open-shift", say(store.shift ? "shift.title" : "shift.open"), () => go("shift"))));
}

function ticketForm(site) {
  const sum = () => (site.categories ?? []).reduce((total, one) => total + (heads[one.code] ?? 0) * one.price_vnd, 0);
  const shown = el("output", { "data-test": "sum" }, vnd(0));
  const buttons = [];
  const changed = () => {
    shown.textContent = vnd(sum());
    const nothing = !sells() || Object.values(heads).every((one) => !one);
    for (const one of buttons) one.disabled = nothing;
  };
  const sellWith = (proxy) => () => sell(site, heads, sum(), proxy);
  buttons.push(
    button("sell-cash", say("cash.sell"), sellWith(false), { drawing: "money", kind: "tall", disabled: true }),
    button("sell-proxy", say("cash.proxy"), sellWith(true), { drawing: "phone", kind: "quiet", disabled: true }));
  return el("section", { class: "card", "data-test": "ticket-form" },
    el("h2", {}, say("cash.for_tickets")),
    el("ul", { class: "prices" }, (site.categories ?? []).map((one) => el("li", {},
      el("div", {}, el("b", {}, named(one)), named(one, "proof") && el("small", {}, named(one, "proof"))),
      el("span", { class: "price" }, one.price_vnd === 0 ? say("free") : vnd(one.price_vnd)),
      stepper(`heads-${one.code}`, named(one), {
        less: say("less"), more: say("more"), changed: (number) => { heads[one.code] = number; changed(); },
      })))),
    el("p", { class: "total" }, el("span", {}, say("sum")), shown),
    el("p", { class: "buttons" }, buttons));
}

async function sell(site, chosen, amount, proxy) {
  const body = { place: site.number, heads: Object.fromEntries(Object.entries(chosen).filter(([, number]) => number > 0)), amount_vnd: amount, proxy, shift: store.shift.id };
  const outcome = await attempt(act("/cash/ticket", body));
  if (outcome) settleTicket(outcome);
}

/** One receipt more in the open shift. */
export function counted() {
  if (store.shift) keep({ shift: { ...store.shift, receipts: store.shift.receipts + 1 } });
}

/** The numbers by which a receipt is found again: its shift's and its own. */
const receiptNumber = (outcome) => say("cash.receipt_of", { shift: store.shift?.number ?? "", receipt: outcome.receipt_number });

export const receipt = (outcome) => el("div", { class: "inset" }, facts([
  [say("cash.receipt"), receiptNumber(outcome), "receipt"],
  [say("cash.taken"), vnd(outcome.amount_vnd), "amount"],
  [say("lot.may_leave_until"), outcome.may_leave_until && hour(outcome.may_leave_until)],
]));

export function settleTicket(outcome) {
  counted();
  const ticket = (...more) => el("div", { class: "handout" }, outcome.code_url && picture(outcome.code_url, say("cash.ticket_picture")),
    el("div", {}, el("div", { class: "inset" }, el("p", { class: "short", "data-test": "short" }, outcome.short)), more));
  if (outcome.pay) return transfer(outcome, { body: [ticket()], closed: again });
  return show("sold", { lead: vnd(outcome.amount_vnd), body: [ticket(receipt(outcome))], close: say("cash.next"), closed: again });
}

function again() {
  const screen = document.getElementById("screen");
  if (screen.dataset.name === "cash") document.dispatchEvent(new Event("again"));
}

/** What the attendant must now transfer for the guest: reference, account, amount, and the code for the bank's app. */
export function transfer(outcome, { body = [], ...rest } = {}) {
  const { pay } = outcome;
  show("transfer", {
    lead: vnd(pay.amount_vnd),
    body: [
      el("p", {}, say("cash.transfer_hint")),
      el("div", { class: "handout" },
        picture(`/pay/${pay.reference}`, say("cash.transfer_picture")),
        el("div", { class: "inset" }, facts([
          [say("cash.payee"), pay.payee], [say("cash.account"), pay.account], [say("cash.bank"), pay.bank],
          [say("cash.reference"), pay.reference, "reference"], [say("cash.receipt"), receiptNumber(outcome), "receipt"],
        ]))),
      ...body,
    ],
    ...rest,
  });
}
