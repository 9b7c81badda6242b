/* Comforts of the order and the payment page; both work without this file. */
"use strict";
(() => {
  const language = document.documentElement.lang;
  const vnd = (amount) => amount.toLocaleString(language === "vi" ? "vi-VN" : "en-US") + "\u00a0₫";

  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    const words = button.querySelector("span") || button, before = words.textContent;
    words.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      await copyText(button.dataset.copy);
      button.classList.add("done");
      words.textContent = button.dataset.copied;
      setTimeout(() => { button.classList.remove("done"); words.textContent = before; }, 2500);
    });
  }

  async function copyText(text) {
    // Plain http (the demo in a local network) has no clipboard: the old way still works there.
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }

  document.querySelectorAll("details.needs-script").forEach((part) => { part.hidden = false; });

  for (const stepper of document.querySelectorAll(".stepper")) {
    const input = stepper.querySelector("input");
    const step = (sign, word, change) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", word);
      button.addEventListener("click", () => {
        const value = (parseInt(input.value, 10) || 0) + change;
        input.value = Math.min(Math.max(value, Number(input.min) || 0), Number(input.max) || 999);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      });
      return button;
    };
    input.before(step("−", stepper.dataset.less, -1));
    input.after(step("+", stepper.dataset.more, 1));
  }

  // Another day chosen but not shown: its prices first, then the order.
  for (const form of document.querySelectorAll("[data-shows]")) {
    form.addEventListener("input", (event) => {
      const other = event.target.value !== form.dataset.shows;
      document.querySelector("[data-order]").hidden = other;
      form.querySelector("button").classList.toggle("quiet", !other);
    });
  }

  for (const form of document.querySelectorAll("[data-order]")) {
    const shown = form.querySelector("[data-sum]");
    if (!shown) continue;
    const add = () => {
      let sum = 0;
      for (const input of form.querySelectorAll("[data-price]")) {
        sum += Math.max(0, parseInt(input.value, 10) || 0) * Number(input.dataset.price);
      }
      shown.textContent = vnd(sum);
    };
    form.addEventListener("input", add);
    add();
    form.querySelectorAll(".needs-script").forEach((part) => { part.hidden = false; });
  }
})();
