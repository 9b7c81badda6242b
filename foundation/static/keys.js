/* Keys of every page: `data-shortcut="/"` on a field or a link is reached with that key, as long as nobody is typing. */
"use strict";
// On the window: a page's own keys (grid.js) come first, and what they have used is used.
window.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest?.("input, select, textarea, [contenteditable]")) return;
  const wanted = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("a")) { wanted.click(); return; }
  wanted.focus();
  wanted.select?.();
});
