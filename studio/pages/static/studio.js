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
        away(false);
      } catch {
        // The server is away for a while: what was shown stays, and we ask again.
        away(true);
      }
    }
    if (part.isConnected) setTimeout(look, every);
  }
  look();
}

// Say that the server is away, or that it is back.
function away(so) {
  const told = document.getElementById("away");
  if (told) told.hidden = !so;
}

// Put new content into a part; what is the same in it stays untouched, so that no picture is loaded anew, nothing that somebody had
// scrolled, opened or has the focus on moves, and nothing flickers.
function replace(part, text) {
  const logs = [...part.querySelectorAll("pre.log")].map((log) => [log, atEnd(log)]);
  const wanted = document.createElement("template");
  wanted.innerHTML = text;
  match(part, wanted.content);
  logs.forEach(([log, end]) => end && (log.scrollTop = log.scrollHeight));
}

// Make the children of one node those of another, changing as little as can be.
function match(now, wanted) {
  const pairs = [...wanted.childNodes].map((next, at) => [now.childNodes[at], next]);
  while (now.childNodes.length > pairs.length) now.lastChild.remove();
  for (const [old, next] of pairs) {
    if (!old) now.append(next);
    else if (old.isEqualNode(next)) continue;
    else if (old.nodeName !== next.nodeName || old.nodeType !== 1) old.replaceWith(next);
    else {
      // Whether somebody has opened it is theirs.
      for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
      for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      match(old, next);
    }
  }
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
