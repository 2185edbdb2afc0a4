"use strict";
// Live progress: the part of this page with the progress is fetched again every second, and the whole page at the end.
// What a screen reader says of it is one short sentence, and not more often than every 20 seconds.
(async function follow() {
  const place = document.getElementById("progress");
  if (!place) return;
  const { run, address } = place.dataset;
  const said = document.getElementById("progress-said");
  const away = document.getElementById("progress-away");
  let saidAt = Date.now();
  // Once a button was pressed, such as Cancel, the page that answers it comes, and no other.
  let leaving = false;
  document.addEventListener("submit", () => { leaving = true; });
  const showAway = (text) => {
    if (away.textContent === text) return;
    away.textContent = text;
    away.classList.toggle("problem", text !== "");
  };
  for (;;) {
    await new Promise((done) => setTimeout(done, 1000));
    let text;
    try {
      const answer = await fetch(address);
      text = await answer.text();
      if (answer.status >= 500) {
        const what = answer.status === 503 ? "The warehouse cannot be reached." : "The desk has answered with an error.";
        showAway(`${what} This page tries again every second.`);
        continue;
      }
    } catch {
      showAway("The desk cannot be reached. This page tries again every second.");
      continue;
    }
    if (leaving) return;
    showAway("");
    const found = new DOMParser().parseFromString(text, "text/html").getElementById("progress");
    if (!found || found.dataset.run !== run) {
      window.location.assign(address);
      return;
    }
    // A button that has the focus stays as it is.
    for (const [old, fresh] of [...place.children].map((child, at) => [child, found.children[at]])) {
      if (fresh && old.tagName !== "FORM") old.replaceWith(fresh.cloneNode(true));
    }
    if (found.dataset.said && Date.now() - saidAt >= 20000) {
      said.textContent = found.dataset.said;
      saidAt = Date.now();
    }
  }
})();
