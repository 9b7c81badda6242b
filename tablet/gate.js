/** The gate: reads tickets, admits, and counts who came in at this tablet. */

import { act } from "./api.js";
import { el, fill, icon, stepper } from "./dom.js";
import * as scan from "./scan.js";
import { keep, placeOf, store } from "./store.js";
import { announce, attempt, isShown, show, showTicket } from "./verdict.js";
import { say, today } from "./words.js";

/** Who answers when the code of a vehicle is scanned here. @type {(which: {code: string}) => any} */
let letOut = () => {};
export function vehiclesLeaveBy(out) {
  letOut = out;
}

/** The heads to admit with the next scan; null is all that remain. */
let wanted = null;

export function render(screen) {
  const { settings } = store;
  count(0, 0);
  scan.listen(read, say("gate.scan_here"));
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
async function read(text) {
  const seen = scan.understand(text);
  if (seen.type === "mistyped") return show("mistyped", { lead: say("gate.mistyped") });
  if (seen.type === "other") return show("unknown", { lead: say("gate.not_ours") });
  if (seen.kind === "stay" || seen.kind === "leave") {
    return placeOf("parking") ? letOut({ code: seen.text }) : show("wrong_kind", { lead: say("gate.parking_code") });
  }
  const heads = wanted;
  wanted = null;
  return admit(seen.text, heads);
}

/** Admits with a ticket, also one that was scanned while the lot was open. Without `heads` all that remain. */
export async function admit(code, heads = null) {
  const place = placeOf("ticketing");
  if (!place) return show("wrong_kind", { lead: say("lot.ticket_code") });
  const outcome = await attempt(act("/scan", { place: place.number, code, heads }));
  if (outcome) settle(outcome, code);
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
