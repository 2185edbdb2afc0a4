"use strict";
// Live progress: the part of this page with the progress is fetched again every second, and the whole page at the end.
(async function follow() {
  const place = document.getElementById("progress");
  if (!place) return;
  const run = place.dataset.run;
  for (;;) {
    await new Promise((done) => setTimeout(done, 1000));
    try {
      const answer = await fetch(`/runs/${encodeURIComponent(run)}`);
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("progress");
      if (!found) {
        window.location.assign(`/runs/${encodeURIComponent(run)}`);
        return;
      }
      const shown = document.getElementById("progress");
      // A button that has the focus stays as it is.
      for (const [old, fresh] of [...shown.children].map((child, at) => [child, found.children[at]])) {
        if (fresh && old.tagName !== "FORM") old.replaceWith(fresh.cloneNode(true));
      }
    } catch {
      // The desk or the network is gone for a moment.
    }
  }
})();
