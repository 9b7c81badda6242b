/** A count of banknotes: a row per note with big buttons and a field, and the sum in large figures. */

import { el, stepper } from "./dom.js";
import { say, vnd } from "./words.js";

export const NOTES = [500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000];

/** What a count comes to. @param {Record<string, number>} notes */
export const sumOf = (notes) => Object.entries(notes).reduce((sum, [note, pieces]) => sum + Number(note) * pieces, 0);

/**
 * The form of a count. `notes` always holds what is entered; `most` says how many of a note there are at all.
 * @param {string} name hook of its parts: `name-500000`, `name-sum`
 * @returns {{node: HTMLElement, notes: Record<string, number>}}
 */
export function notesField(name, { label = say("notes.sum"), start = {}, most = undefined, changed = () => {} } = {}) {
  /** @type {Record<string, number>} */
  const notes = Object.fromEntries(Object.entries(start).filter(([, pieces]) => pieces > 0));
  const sum = el("output", { "data-test": `${name}-sum`, "aria-live": "polite" }, vnd(sumOf(notes)));
  const shown = NOTES.filter((note) => !most || most[note]);
  const rows = shown.map((note) => {
    const amount = el("span", { class: "note-sum", "data-test": `${name}-${note}-sum` }, notes[note] ? vnd(note * notes[note]) : "");
    return el("li", {},
      el("b", { class: "note", "data-note": note }, vnd(note)),
      stepper(`${name}-${note}`, vnd(note), {
        value: notes[note] ?? 0, max: most ? most[note] : 9999, less: say("less"), more: say("more"),
        changed: (pieces) => {
          if (pieces) notes[note] = pieces;
          else delete notes[note];
          amount.textContent = pieces ? vnd(note * pieces) : "";
          sum.textContent = vnd(sumOf(notes));
          changed(notes);
        },
      }), amount);
  });
  return {
    notes,
    node: el("div", { class: "counting" },
      el("ul", { class: "notes" }, rows),
      el("p", { class: "total" }, el("span", {}, label), sum)),
  };
}
