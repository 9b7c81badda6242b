/* A page that changes by itself: `data-live="<address of an event stream>"` on any element reloads it on `change`. */
"use strict";
(() => {
  const address = document.querySelector("[data-live]")?.dataset.live;
  if (!address) return;
  let stream, errors = 0, left = false;
  // replace, not reload: a page that answered a form must not send the form again.
  const again = () => {
    // Nor is a page taken away from under who types into it.
    if (document.activeElement?.closest("details form")) setTimeout(again, 2000);
    else if (!left) location.replace(location.pathname + location.search);
  };

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
  // A page that is being left is left: loading it again would call the browser back from where its form leads.
  document.addEventListener("submit", () => { left = true; stream?.close(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) { left = false; again(); } });
  if (window.EventSource) listen(); else setTimeout(again, 4000);
  // Phones cut the stream while the bank's app is in front; ask at once when the page is seen again.
  document.addEventListener("visibilitychange", () => { if (!left && !document.hidden && window.EventSource) listen(); });
})();
