/** Notes that go to the safe during a shift: announced note by note, and signed for by whoever takes them. */

import { act } from "./api.js";
import { button, el } from "./dom.js";
import { notesField, sumOf } from "./notes.js";
import { keep, store } from "./store.js";
import { attempt } from "./verdict.js";
import { witnessForm } from "./witness.js";
import { hour, say, vnd } from "./words.js";

const change = (drops) => keep({ shift: { ...store.shift, drops } });

/** The form of a new bundle. `again` draws the screen anew. */
export function form(again) {
  const send = el("button", { class: "button tall", "data-test": "drop-go", disabled: true }, say("drop.announce"));
  const counted = notesField("drop", { changed: (notes) => { send.disabled = sumOf(notes) === 0; } });
  return el("form", {
    class: "card",
    on: { submit: async (event) => {
      event.preventDefault();
      const made = await attempt(act("/shift/drop", { shift: store.shift.id, notes: counted.notes }));
      if (made) settle(made, again);
    } },
  }, el("h2", {}, say("drop.title")), el("p", { class: "muted" }, say("drop.hint")), counted.node,
  el("p", { class: "buttons" }, send, button("drop-cancel", say("cancel"), () => again(), { kind: "quiet tall" })));
}

export function settle(made, again = () => document.dispatchEvent(new Event("again"))) {
  change([...(store.shift.drops ?? []), made]);
  again();
}

export function settled(outcome, again = () => document.dispatchEvent(new Event("again"))) {
  change((store.shift.drops ?? []).filter((one) => one.number !== outcome.number));
  again();
}

/** The bundles that wait for a signature. */
export function waiting(again) {
  return (store.shift.drops ?? []).map((one) => {
    const sent = (path, more) => act(path, { shift: store.shift.id, number: one.number, ...more });
    const signed = async ({ witness }) => {
      const outcome = await attempt(sent("/shift/drop/receive", { witness }));
      if (outcome) settled(outcome, again);
    };
    const keepThem = async () => {
      const outcome = await attempt(sent("/shift/drop/void"));
      if (outcome) settled(outcome, again);
    };
    return el("section", { class: "card", "data-test": "drop-waits" },
      el("h2", {}, say("drop.number", { number: one.number })),
      el("p", { class: "total" }, el("span", {}, say("drop.until", { hour: hour(one.expires_at) })), el("output", {}, vnd(one.amount_vnd))),
      el("ul", { class: "bundle" }, Object.entries(one.notes).sort(([a], [b]) => Number(b) - Number(a)).map(([note, pieces]) => el("li", {}, `${pieces} × ${vnd(Number(note))}`))),
      witnessForm(`drop-${one.number}`, { lead: say("drop.receiver_hint"), go: say("drop.take"), signs: "shift.drop.receive", amount: () => one.amount_vnd, signed }),
      button(`drop-${one.number}-void`, say("drop.keep"), keepThem, { kind: "quiet" }));
  });
}
