// The form of a training: groups that do not matter are hidden, settings are found by a word, and the plan is asked for at once.
"use strict";

const settings = document.getElementById("settings");

// A group of settings is there only while the setting on which it depends has one of its values.
function show() {
  for (const group of settings.querySelectorAll("[data-where]")) {
    const chosen = settings.elements[group.dataset.where];
    group.hidden = !!chosen && !group.dataset.values.split(" ").includes(chosen.value);
  }
}

// Only settings whose name or explanation holds all the words; groups without any are hidden by their own emptiness.
function find(box) {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of document.getElementById(box.dataset.filter).querySelectorAll(".setting")) {
    const said = one.dataset.words.toLowerCase();
    one.hidden = !words.every((word) => said.includes(word));
  }
}

if (settings) {
  settings.addEventListener("change", show);
  settings.addEventListener("input", (event) => event.target.matches("[data-filter]") && find(event.target));
  // Return in the box that finds settings must not send the form.
  settings.addEventListener("keydown", (event) => event.key === "Enter" && event.target.matches("[data-filter]") && event.preventDefault());
  show();
  const wanted = settings.querySelector("[data-at-once]");
  if (wanted) fetch(wanted.formAction, { method: "POST", body: new URLSearchParams(new FormData(settings)) });
}
