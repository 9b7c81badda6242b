/** A second person shows number and PIN at this tablet, and so signs one act. The PIN is kept nowhere. */

import { ask, NoAnswer } from "./api.js";
import { button, el, field, icon } from "./dom.js";
import { say } from "./words.js";

/**
 * The form of a signature. `signs`: the act; `amount()`: its VND, for every act but a close. `signed` gets the proof and
 * who gave it.
 * @param {string} name hook of its parts
 * @param {{lead: string, go: string, signs: string, amount?: () => number, signed: (proof: {witness: string, name: string, supervises: boolean}) => any, cancel?: () => void}} what
 */
export function witnessForm(name, { lead, go, signs, amount = () => null, signed, cancel }) {
  const wrong = el("div", { class: "notice error", role: "alert", hidden: true, "data-test": `${name}-complaint` });
  const number = field(`${name}-login`, say("login.attendant"), { inputmode: "numeric", class: "plate", maxlength: 20, required: true });
  const pin = field(`${name}-pin`, say("login.pin"), { type: "password", inputmode: "numeric", maxlength: 12, required: true });
  const complain = (words) => {
    wrong.replaceChildren(icon("warn"), el("div", {}, words));
    wrong.hidden = false;
  };
  return el("form", {
    class: "witness",
    on: { submit: async (event) => {
      event.preventDefault();
      wrong.hidden = true;
      const secret = pin.querySelector("input");
      try {
        const said = { login: number.querySelector("input").value.trim(), pin: secret.value, signs, amount_vnd: amount() };
        const proof = await ask("/witness", said);
        await signed(proof, complain);
      } catch (error) {
        complain(error instanceof NoAnswer ? say("network.lost_read") : error.message);
      } finally {
        secret.value = "";
      }
    } },
  }, el("h2", {}, say("witness.title")), el("p", { class: "muted" }, lead),
  el("div", { class: "pair" }, number, pin), wrong,
  el("p", { class: "buttons" }, el("button", { class: "button tall", "data-test": `${name}-sign` }, go),
    cancel && button(`${name}-cancel`, say("cancel"), cancel, { kind: "quiet" })));
}
