/** The attendant's tablet: which screen is shown, and what is always visible above it. */

import { ask, changes, connection, leaveOut, NoAnswer, Refused, resume, tryAgain } from "./api.js";
import * as cash from "./cash.js";
import { button, el, fill, icon } from "./dom.js";
import * as gate from "./gate.js";
import * as drop from "./drop.js";
import * as help from "./help.js";
import * as login from "./login.js";
import * as refund from "./refund.js";
import * as scan from "./scan.js";
import * as shift from "./shift.js";
import { keep, placeOf, store, wipe } from "./store.js";
import * as vehicle from "./vehicle.js";
import { announce, hide, show, showRefusal } from "./verdict.js";
import { LANGUAGES, named, say, speak } from "./words.js";

const PULSE_MS = 20_000;
const CLOCK_SKEW_MS = 120_000;
const screen = document.getElementById("screen");

const TABS = {
  gate: { service: "ticketing", render: gate.render },
  lot: { service: "parking", render: vehicle.render },
  cash: { render: cash.render },
  shift: { render: shift.render },
  help: { render: help.render },
};

let tab = "";
let reason = "";
let skewed = false;
let offered = "";

/** Shows a tab; without a name the first that this tablet has. */
function go(name = "") {
  hide();
  tab = name || (placeOf("ticketing") ? "gate" : "lot");
  renderBar();
  screen.dataset.name = tab;
  TABS[tab].render(screen, go);
}

/** Shows what must come first: words, enrolment, login, a choice of place; then the work. */
function start() {
  const why = reason;
  reason = "";
  hide();
  scan.listen(null);
  screen.dataset.name = "";
  renderAlarm();
  if (offered || !store.device) {
    const code = offered;
    renderBar();
    return login.renderEnrol(screen, { code, reason: why, done: () => { offered = ""; start(); } });
  }
  if (!store.session) {
    renderBar();
    return login.renderLogin(screen, { reason: why, done: begin });
  }
  const undecided = ["ticketing", "parking"].find((service) => {
    const numbers = store.places.filter((place) => place.service === service).map((place) => place.number);
    return numbers.length > 1 && !numbers.includes(store.chosen[service]);
  });
  if (undecided) {
    renderBar();
    return login.renderPlaces(screen, undecided, { done: start });
  }
  return go();
}

/** After a login: an action whose answer was not known is asked for first. */
async function begin() {
  start();
  pulse();
  await resumed();
}

/** What each action's outcome looks like; also when it comes only after a reload. */
const OUTCOMES = {
  "/scan": (outcome, body) => gate.settle(outcome, body.code),
  "/vehicles/in": vehicle.settleIn,
  "/vehicles/out": vehicle.settleOut,
  "/cash/stay": (outcome, body) => vehicle.settlePaid(outcome, { stay_id: body.stay_id }),
  "/cash/ticket": cash.settleTicket,
  "/shift/open": (outcome) => { go("shift"); shift.settleOpen(outcome, screen, go); },
  "/shift/count": (outcome, body) => { go("shift"); shift.settleCount(outcome, body, screen, go); },
  "/shift/drop": (outcome) => drop.settle(outcome),
  "/shift/drop/receive": (outcome) => drop.settled(outcome),
  "/shift/drop/void": (outcome) => drop.settled(outcome),
  "/cash/refund": refund.settle,
  "/shift/close": (outcome) => { go("shift"); shift.settleClose(outcome, screen, go); },
};

async function resumed() {
  if (!store.pending || !store.session) return;
  const { path, body } = store.pending;
  try {
    OUTCOMES[path]?.(await resume(), body);
  } catch (error) {
    if (error instanceof Refused) showRefusal(error);
  }
}

function renderBar() {
  const bar = document.getElementById("bar");
  const place = tab === "lot" ? placeOf("parking") : placeOf("ticketing") ?? placeOf("parking");
  const several = place && store.places.filter((one) => one.service === place.service).length > 1;
  const working = Boolean(store.session) && Boolean(tab) && !offered;
  fill(bar,
    el("div", { class: "bar-row" },
      el("img", { src: "/static/logo.svg", alt: "Một Chạm", width: 40, height: 40 }),
      el("p", { class: "where" },
        el("b", { "data-test": "place" }, place && store.session ? named(place) : store.device ? named(store.device.operator) : "Một Chạm"),
        working && several && button("change-place", say("place.change"), () => {
          const { [place.service]: _, ...others } = store.chosen;
          keep({ chosen: others });
          tab = "";
          start();
        }, { kind: "link" }),
        store.session && el("span", { "data-test": "attendant" }, `${store.session.attendant.login} · ${store.session.attendant.name}`)),
      el("p", { class: "states" },
        store.session && el("span", { class: `pill ${store.shift && !store.shift.counted_at ? "ok" : "wait"}`, "data-test": "shift-state" },
          icon("shift"), store.shift ? say(store.shift.counted_at ? "shift.counted_state" : "shift.is_open", { number: store.shift.number }) : say("shift.is_closed")),
        el("span", { class: `pill ${connection.lost ? "error" : "ok"}`, role: "status", "data-test": "connection", "data-lost": String(connection.lost) },
          icon(connection.lost ? "offline" : "online"), say(connection.lost ? "network.lost" : "network.there"))),
      el("p", { class: "languages" }, Object.entries(LANGUAGES).map(([code, name]) => el(
        "button", { type: "button", lang: code, "aria-pressed": String(code === store.settings.language), "data-test": `language-${code}`,
          on: { click: async () => { await speak(code); again(); } } }, name)))),
    working && el("nav", { class: "modes", "aria-label": say("tab.all") }, Object.entries(TABS)
      .filter(([, { service }]) => !service || placeOf(service))
      .map(([name]) => el("button", {
        type: "button", "aria-current": name === tab ? "page" : null, "data-test": `tab-${name}`, on: { click: () => go(name) },
      }, icon(name === "cash" ? "money" : name), el("span", {}, say(`tab.${name}`))))),
  );
}

/** Draws the present screen anew, e.g. in another language. */
function again() {
  const name = tab;
  if (store.session && name) go(name);
  else start();
}

/** The words above everything while an action has no answer, or the clock is wrong. Never green. */
function renderAlarm(unsettled = false) {
  const alarm = document.getElementById("alarm");
  document.body.classList.toggle("unsettled", unsettled);
  fill(alarm, ...(unsettled
    ? [el("div", { class: "alarm", "data-test": "not-recorded" }, icon("offline"),
        el("div", {}, el("h1", {}, say("network.not_recorded")), el("p", {}, say("network.trying")),
          el("p", { class: "buttons" },
            button("try-again", say("network.try_again"), tryAgain, { kind: "tall" }),
            button("leave-out", say("network.leave_out"), leaveOut, { kind: "quiet" }))))]
    : skewed ? [el("p", { class: "notice warn", "data-test": "clock" }, icon("shift"), say("clock.wrong"))] : []));
}

/** Every now and then: is the server there, who works here, which prices are today's. */
async function pulse() {
  if (!store.session || document.hidden) return;
  try {
    const answer = await ask("/me");
    if (!store.session) return;
    const before = JSON.stringify([store.places, store.shift]);
    const overruled = store.shift && answer.closed_by_office;
    keep({ places: answer.places, shift: answer.shift, ...(overruled ? { overruled, counted: null } : {}) });
    if (overruled && !store.pending) go("shift");
    const now = answer.now ? Math.abs(Date.parse(answer.now) - Date.now()) > CLOCK_SKEW_MS : false;
    if (now !== skewed) {
      skewed = now;
      if (!store.pending) renderAlarm();
    }
    if (before !== JSON.stringify([store.places, store.shift]) && tab) renderBar();
  } catch (error) {
    if (!(error instanceof NoAnswer || error instanceof Refused)) throw error;
  }
}

function forget(words) {
  tab = "";
  reason = words;
  start();
}

changes.addEventListener("connection", () => {
  renderBar();
  announce(say(connection.lost ? "network.lost" : "network.there"));
});
changes.addEventListener("unsettled", () => {
  hide();
  renderAlarm(true);
  document.querySelector("[data-test=try-again]")?.focus();
});
changes.addEventListener("settled", () => renderAlarm());
changes.addEventListener("login", () => {
  keep({ session: null, shift: null, counted: null });
  forget(say("login.again"));
});
changes.addEventListener("revoked", () => {
  wipe();
  forget(say("enrol.revoked"));
});
changes.addEventListener("shift-over", ({ detail }) => {
  keep({ shift: null, counted: null, overruled: detail.code === "shift_closed_by_office" ? detail.facts : null });
  renderBar();
});
document.addEventListener("shift", renderBar);
document.addEventListener("again", again);
document.addEventListener("go", (event) => go(event.detail));
document.addEventListener("logout", () => { tab = ""; start(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hide();
  // Typing the next plate, or scanning the next code, closes an outcome that asks nothing.
  const typed = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (typed && tab === "lot" && document.getElementById("scan").hidden && asksNothing()) hide();
});
document.getElementById("panel").addEventListener("click", (event) => {
  // A tap anywhere closes an outcome that asks nothing.
  if (!event.target.closest("button, a, input") && asksNothing()) hide();
});
window.addEventListener("online", pulse);
document.addEventListener("visibilitychange", pulse);
window.addEventListener("unhandledrejection", () => show("refused", { lead: say("error.unexpected") }));

const asksNothing = () => document.querySelectorAll("#panel button").length === 1;

function readAddress() {
  const code = new URLSearchParams(location.hash.slice(1)).get("enrol");
  if (!code) return;
  offered = code;
  // A one-time code has no business in the history.
  history.replaceState(null, "", location.pathname);
}

window.addEventListener("hashchange", () => { readAddress(); if (offered) { tab = ""; start(); } });
readAddress();
gate.vehiclesLeaveBy(vehicle.out);
await speak(store.settings.language);
scan.watch();
setInterval(pulse, PULSE_MS);
await begin();
