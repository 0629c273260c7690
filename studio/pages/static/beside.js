// The road of the studio on a page of Gradio, taken from our own server as this reader sees it.
"use strict";
(async () => {
  const answer = await fetch("/road?here=" + encodeURIComponent(location.pathname + location.search), { cache: "no-store" });
  if (!answer.ok) return;
  const holder = document.createElement("div");
  holder.className = "studio-road";
  holder.innerHTML = await answer.text();
  document.body.prepend(holder);
  document.documentElement.classList.add("beside-road");
})();
