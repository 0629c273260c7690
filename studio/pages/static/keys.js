// Keys of a form with data-keys: one sign presses the button that has it as data-key. Whoever writes in a field writes there.
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, textarea, select")) return;
  const button = [...document.querySelectorAll("[data-keys] [data-key]")].find((one) => one.dataset.key === event.key.toLowerCase());
  if (button && !button.disabled) {
    event.preventDefault();
    button.form.requestSubmit(button);
  }
});
