/** Makes this tablet one of ours, and says who works with it. */

import { ask, NoAnswer } from "./api.js";
import { button, el, field, fill, icon } from "./dom.js";
import { keep, store } from "./store.js";
import { announce } from "./verdict.js";
import { named, say } from "./words.js";

/** Shows why it did not work; a lost network is said in its own words. */
function complain(error, where) {
  const words = error instanceof NoAnswer ? say("network.lost_read") : error.message;
  where.replaceChildren(icon("warn"), el("div", {}, words));
  where.hidden = false;
}

const complaint = () => el("div", { class: "notice error", role: "alert", hidden: true, "data-test": "complaint" });

export function renderEnrol(screen, { code = "", done, reason = "" }) {
  const wrong = complaint();
  const submit = async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    try {
      const answer = await ask("/enrol", { code: document.getElementById("enrol-code").value.trim() }, { token: "" });
      keep({
        device: { token: answer.device_token, name: answer.device_name, operator: answer.operator },
        session: null, places: answer.places, shift: null, counted: null, overruled: null, counter: 0, pending: null, chosen: {},
      });
      done();
    } catch (error) {
      complain(error, wrong);
    }
  };
  fill(screen, el("form", { class: "gateway card", on: { submit } },
    el("h1", {}, say("enrol.title")), el("p", { class: "lead" }, say("enrol.lead")),
    reason && el("p", { class: "notice warn", role: "alert" }, icon("warn"), reason),
    store.device && el("p", { class: "notice info" }, icon("warn"), say("enrol.again", { name: store.device.name })),
    field("enrol-code", say("enrol.code"), { value: code, class: "plate", autocapitalize: "characters", required: true, placeholder: "ABC-ABCDE-FGHJK", maxlength: 60 }),
    wrong, el("button", { class: "button tall", "data-test": "enrol-go" }, say("enrol.go"))));
  document.getElementById("enrol-code").focus();
}

export function renderLogin(screen, { done, reason = "" }) {
  const wrong = complaint();
  const number = field("login", say("login.attendant"), { inputmode: "none", class: "plate", maxlength: 20, required: true, autocomplete: "username" });
  const pin = field("pin", say("login.pin"), { type: "password", inputmode: "none", maxlength: 12, required: true, autocomplete: "current-password" });
  let into = number.querySelector("input");
  for (const label of [number, pin]) {
    const input = label.querySelector("input");
    input.addEventListener("focus", () => { into = input; });
  }
  const key = (digit) => el("button", { type: "button", class: "key", "data-test": `key-${digit}`, on: { click: () => {
    if (into.value.length < into.maxLength) into.value += digit;
  } } }, digit);
  const submit = async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    try {
      const answer = await ask("/login",
        { login: number.querySelector("input").value.trim(), pin: pin.querySelector("input").value }, { token: store.device.token });
      keep({
        session: { token: answer.session_token, attendant: answer.attendant, expires_at: answer.expires_at },
        places: answer.places, shift: answer.shift, overruled: answer.closed_by_office ?? null,
      });
      announce(answer.attendant.name);
      done();
    } catch (error) {
      pin.querySelector("input").value = "";
      complain(error, wrong);
    }
  };
  fill(screen, el("form", { class: "gateway card", on: { submit } },
    el("p", { class: "eyebrow" }, `${named(store.device.operator)} · ${store.device.name}`), el("h1", {}, say("login.title")),
    reason && el("p", { class: "notice warn", role: "alert" }, icon("warn"), reason),
    el("div", { class: "pair" }, number, pin), wrong,
    el("div", { class: "keys" }, [..."123456789"].map(key),
      el("button", { type: "button", class: "key", "aria-label": say("erase"), "data-test": "key-erase", on: { click: () => { into.value = into.value.slice(0, -1); } } }, icon("erase")),
      key("0"),
      el("button", { type: "button", class: "key", "data-test": "key-next", "aria-label": say("login.pin"), on: { click: () => pin.querySelector("input").focus() } }, icon("in"))),
    el("button", { class: "button tall", "data-test": "login-go" }, say("login.go"))));
  into.focus();
}

/** Which of several places of one service this tablet works at now. */
export function renderPlaces(screen, service, { done }) {
  fill(screen, el("section", { class: "gateway" }, el("h1", {}, say("place.choose")),
    store.places.filter((place) => place.service === service).map((place) =>
      button(`place-${place.code}`, named(place), () => {
        keep({ chosen: { ...store.chosen, [service]: place.number } });
        done();
      }, { drawing: service === "parking" ? "lot" : "gate", kind: "tall quiet wide" }))));
  screen.querySelector("button").focus();
}
