/** Notes handed back against a cash receipt, from the attendant's own drawer; above the day's limit a supervisor agrees. */

import { act, ask, NoAnswer, Refused } from "./api.js";
import { button, el, facts, field, icon } from "./dom.js";
import { store } from "./store.js";
import { attempt, checking, show, showRefusal } from "./verdict.js";
import { witnessForm } from "./witness.js";
import { moment, named, say, vnd } from "./words.js";

const REASONS = ["wrong_sale", "not_used", "closed_place", "overcharged", "other"];

/** Finds a receipt by its numbers, and hands notes back for it. */
export function form() {
  const below = el("div", {});
  const [shift, receipt] = [
    field("refund-shift", say("refund.shift"), { inputmode: "numeric", pattern: "[0-9]+", required: true, maxlength: 9, value: store.shift.number }),
    field("refund-receipt", say("refund.receipt"), { inputmode: "numeric", pattern: "[0-9]+", required: true, maxlength: 9 })];
  const place = store.places.length > 1 && el("label", { class: "field", for: "refund-place" }, el("span", {}, say("shift.where")),
    el("select", { id: "refund-place", "data-test": "refund-place" }, store.places.map((one) =>
      el("option", { value: one.number, selected: one.number === store.shift.place }, named(one)))));
  const numberOf = (label) => Number.parseInt(label.querySelector("input").value, 10);
  const find = async (event) => {
    event.preventDefault();
    const asked = {
      place: Number(place ? place.querySelector("select").value : store.places[0].number),
      shift_number: numberOf(shift), receipt_number: numberOf(receipt),
    };
    const found = await attempt(ask("/cash/receipt", asked));
    if (found) below.replaceChildren(giving(asked, found, below));
  };
  return el("details", { class: "card fold", "data-test": "refund" }, el("summary", {}, say("refund.title")),
    el("p", { class: "muted" }, say("refund.hint")),
    el("form", { on: { submit: find } }, place, el("div", { class: "pair even" }, shift, receipt),
      el("button", { class: "button quiet tall", "data-test": "refund-find" }, say("refund.find"))), below);
}

function giving(asked, found, below) {
  const sum = field("refund-amount", say("refund.amount"), { inputmode: "numeric", class: "money", value: String(found.left_vnd), required: true });
  const words = field("refund-words", say("shift.words"), { maxlength: 300 });
  const wrong = el("div", { class: "notice error", role: "alert", hidden: true });
  const signing = el("div", {});
  const body = () => ({
    ...asked, shift: store.shift.id, amount_vnd: Number.parseInt(sum.querySelector("input").value.replace(/\D/g, ""), 10) || 0,
    reason: below.querySelector("[name=refund-why]:checked")?.value ?? "", words: words.querySelector("input").value.trim(),
  });
  const give = async (witness) => {
    try {
      settle(await checking(act("/cash/refund", { ...body(), witness })));
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== "supervisor_needed" || witness) return error instanceof Refused ? showRefusal(error) : error instanceof NoAnswer ? undefined : Promise.reject(error);
      signing.replaceChildren(witnessForm("supervisor", {
        lead: say("refund.supervisor"), go: say("refund.give"), signs: "cash.refund", amount: () => body().amount_vnd, signed: (proof) => give(proof.witness),
      }));
      signing.querySelector("input").focus();
    }
    return undefined;
  };
  return el("form", {
    class: "inset", "data-test": "refund-found",
    on: { submit: (event) => {
      event.preventDefault();
      const said = body();
      wrong.hidden = Boolean(said.reason && said.amount_vnd);
      if (!wrong.hidden) return wrong.replaceChildren(icon("warn"), el("div", {}, say("refund.say_why")));
      return give(null);
    } },
  }, facts([
    [say("refund.paid"), vnd(found.amount_vnd)], [say("refund.when"), moment(found.at)], [say("refund.left"), vnd(found.left_vnd), "refund-left"],
  ]), sum,
  el("fieldset", { class: "choices" }, el("legend", {}, say("refund.why")), REASONS.map((reason) => el("label", { class: "choice" },
    el("input", { type: "radio", name: "refund-why", value: reason, "data-test": `refund-why-${reason}` }), el("span", {}, say(`refund.reason.${reason}`))))),
  words, wrong, el("button", { class: "button tall", "data-test": "refund-give" }, say("refund.give")), signing);
}

export function settle(outcome) {
  show("given_back", {
    lead: vnd(outcome.amount_vnd),
    body: [el("div", { class: "inset" }, facts([
      [say("refund.slip"), outcome.number, "slip"], [say("refund.receipt"), outcome.receipt_number],
      [say("refund.still_left"), vnd(outcome.left_vnd)], [say("refund.approved_by"), outcome.approved_by],
    ]))],
    closed: () => document.dispatchEvent(new Event("again")),
  });
}
