/** What to do when something is unclear, and how this tablet behaves. */

import { button, el, facts, fill, icon } from "./dom.js";
import * as scan from "./scan.js";
import { play } from "./sound.js";
import { set, store } from "./store.js";
import { named, say } from "./words.js";

export function render(screen) {
  scan.listen(null);
  const toggle = (name) => el("label", { class: "choice" },
    el("input", { type: "checkbox", checked: store.settings[name], "data-test": `set-${name}`, on: { change: (event) => set({ [name]: event.target.checked }) } }),
    el("span", {}, say(`help.${name}`)));
  const closing = el("select", { id: "close-after", "data-test": "set-closeAfter", on: { change: () => set({ closeAfter: Number(closing.value) }) } },
    [0, 3, 5, 10, 20].map((seconds) => el("option", { value: seconds, selected: seconds === store.settings.closeAfter },
      seconds === 0 ? say("help.close_never") : say("help.close_after", { seconds }))));
  fill(screen,
    el("h1", {}, say("tab.help")),
    el("section", { class: "card" }, el("h2", {}, say("help.meaning")),
      ["valid", "unpaid", "used"].map((verdict, index) => el("p", { class: `meaning ${["good", "wait", "bad"][index]}` },
        icon(["ok", "money", "stop"][index]), el("span", {}, el("b", {}, say(`verdict.${verdict}`)), `: ${say(`help.${verdict}`)}`),
        button(`sound-${verdict}`, say("help.hear"), () => play(["good", "wait", "bad"][index]), { kind: "quiet" })))),
    el("section", { class: "card" }, el("h2", {}, say("help.settings")),
      toggle("countHeads"), toggle("sound"), toggle("vibrate"),
      el("label", { class: "field", for: "close-after" }, el("span", {}, say("help.closing")), closing)),
    el("section", { class: "card" }, el("h2", {}, say("help.ways")),
      el("ul", {}, ["scan", "type", "plate", "network", "proxy"].map((way) => el("li", {}, say(`help.way_${way}`))))),
    el("section", { class: "card" }, el("h2", {}, say("help.tablet")),
      facts([[say("help.operator"), named(store.device.operator)], [say("help.name"), store.device.name],
        [say("help.places"), store.places.map((place) => named(place)).join(", ")], [say("help.actions"), store.counter]])));
}
