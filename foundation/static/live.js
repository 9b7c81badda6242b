/* A page that changes by itself: `data-live="<address of an event stream>"` on any element reloads it on `change`. */
"use strict";
(() => {
  const address = document.querySelector("[data-live]")?.dataset.live;
  if (!address) return;
  // replace, not reload: a page that answered a form must not send the form again.
  const again = () => location.replace(location.pathname + location.search);
  let stream, errors = 0;

  function listen() {
    stream?.close();
    stream = new EventSource(address);
    stream.onopen = () => { errors = 0; };
    stream.addEventListener("change", () => { stream.close(); again(); });
    stream.onerror = () => {
      errors += 1;
      // Closed for good (a proxy without streams, a refusal) or broken again and again: look every few seconds.
      if (stream.readyState === EventSource.CLOSED || errors > 4) { stream.close(); setTimeout(again, 4000); }
    };
  }
  if (window.EventSource) listen(); else setTimeout(again, 4000);
  // Phones cut the stream while the bank's app is in front; ask at once when the page is seen again.
  document.addEventListener("visibilitychange", () => { if (!document.hidden && window.EventSource) listen(); });
})();
