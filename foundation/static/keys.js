/* Keys of a page: `data-key="/"` on a field or a link is reached with that key, as long as nobody is typing. */
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, select, textarea, [contenteditable], dialog")) return;
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("a, button")) { wanted.click(); return; }
  wanted.focus();
  wanted.select?.();
});
