// What a page does by itself. Every page works without it but for what is live.
"use strict";

// A part with data-live="ADDRESS" shows what that address answers, anew every data-every milliseconds, while the page is looked at.
// Nothing is touched that has not changed, that somebody types in, or that holds the selection.
function follow(part) {
  const every = Number(part.dataset.every || 1500);
  let shown = null;
  async function look() {
    if (!document.hidden && part.isConnected) {
      try {
        const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, cache: "no-store" });
        if (answer.status === 401) return location.reload();
        const text = answer.ok ? await answer.text() : null;
        const busy = part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
        const marked = String(getSelection()) && part.contains(getSelection().anchorNode);
        if (text !== null && text !== shown && !busy && !marked) {
          shown = text;
          replace(part, text);
        }
        // Whoever answers may say that nothing more will come, or where the page goes on.
        const next = answer.headers.get("x-studio-next");
        if (next) return location.assign(next);
        if (answer.headers.get("x-studio-over")) return;
      } catch {
        // The server is away for a while: what was shown stays, and we ask again.
      }
    }
    if (part.isConnected) setTimeout(look, every);
  }
  look();
}

// Put new content into a part; what somebody had scrolled or opened in it stays so, and the focus stays on what has the same id.
function replace(part, text) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = new Map([...part.querySelectorAll("pre.log")].map((log, at) => [at, atEnd(log) ? null : log.scrollTop]));
  const opened = new Set([...part.querySelectorAll("details[open]")].map((one) => one.id));
  part.innerHTML = text;
  part.querySelectorAll("pre.log").forEach((log, at) => (log.scrollTop = scrolled.get(at) ?? log.scrollHeight));
  part.querySelectorAll("details").forEach((one) => one.id && opened.has(one.id) && (one.open = true));
  if (focused) document.getElementById(focused)?.focus();
}

function atEnd(log) {
  return log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy).textContent.trim();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without https there is no clipboard: mark the text, so that the keys for copying take it.
      getSelection().selectAllChildren(document.getElementById(copy.dataset.copy));
    }
    copy.textContent = copy.dataset.done;
  }
});

document.addEventListener("submit", (event) => {
  const asked = event.target.dataset.sure;
  if (asked && !confirm(asked)) return event.preventDefault();
  // A second press must not do it twice.
  setTimeout(() => event.target.querySelectorAll("button").forEach((button) => (button.disabled = true)));
});
// A page that comes back from the browser's memory has its buttons again.
addEventListener("pageshow", (event) => event.persisted && document.querySelectorAll("button:disabled").forEach((one) => (one.disabled = false)));

// A list or field that changes the page it stands on.
document.addEventListener("change", (event) => event.target.matches("[data-go]") && event.target.form.requestSubmit());

document.querySelectorAll("[data-live]").forEach(follow);
document.querySelectorAll("pre.log").forEach((log) => (log.scrollTop = log.scrollHeight));
