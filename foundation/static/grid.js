/* A list for the keyboard: `data-grid` on a table. ↑↓ go from row to row, Enter accepts (or opens) the row, Space chooses it,
   / opens it, and the letter in `data-key` of anything on the page goes there or presses it. Only while the list has the focus. */
"use strict";
(() => {
  const grid = document.querySelector("[data-grid]");
  const rows = grid ? [...grid.querySelectorAll("tbody tr")] : [];
  if (!rows.length) return;
  let at = 0;
  rows.forEach((row, n) => { row.tabIndex = n ? -1 : 0; });
  function go(n) {
    rows[at].tabIndex = -1;
    at = Math.min(Math.max(n, 0), rows.length - 1);
    rows[at].tabIndex = 0;
    rows[at].focus();
  }
  const press = (thing) => {
    if (!thing) return;
    if (thing.tagName === "DETAILS") { thing.open = true; thing.querySelector("summary").focus(); }
    else if (thing.tagName === "SELECT") thing.focus();
    else thing.click();
  };
  grid.addEventListener("focusin", (event) => {
    const n = rows.indexOf(event.target.closest("tbody tr"));
    if (n >= 0) { rows[at].tabIndex = -1; at = n; rows[at].tabIndex = 0; }
  });
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = rows[at], inside = event.target !== row;
    const box = row.querySelector("input[type=checkbox]");
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(rows.length - 1);
    else if (event.key === " " && !inside) { if (box) box.click(); }
    else if (event.key === "Enter" && !inside) press(row.querySelector("[data-accept]") ?? row.querySelector("[data-open]"));
    else if (event.key === "/") press(row.querySelector("[data-open]"));
    else {
      const thing = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
      if (!thing) return;
      // What is done with the chosen is done with this row when nothing is chosen.
      if (box && "mwbn".includes(event.key) && !grid.querySelector("input:checked")) box.click();
      press(thing);
    }
    event.preventDefault();
    event.stopPropagation();
  });
  // Enter in a choice of the bar sends the form, as in any field of one line.
  document.querySelectorAll("select[data-key]").forEach((choice) => choice.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const next = choice.dataset.key === "n" ? choice.form.querySelector('[formaction*="/name"]') : choice.form.querySelector('[data-key="m"]');
    (next ?? choice.form.querySelector("button")).click();
  }));
  // When all is there: going to the place that the address names takes the focus away.
  if ((!location.hash || location.hash === "#items") && !document.querySelector("#refused")) {
    window.addEventListener("load", () => setTimeout(() => rows[0].focus({ preventScroll: !location.hash })));
  }
})();
