// One switch for all the code of a page; without this script each piece of code has a fold of its own.
(function () {
  "use strict";
  const folds = document.querySelectorAll("details.above-input");

  function show(on) {
    document.documentElement.classList.toggle("hb-code", on);
    folds.forEach(function (fold) { fold.open = on; });
  }

  if (folds.length) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "hb-switch";
    function say(on) {
      button.setAttribute("aria-pressed", String(on));
      button.textContent = on ? "Hide the code of this page" : "Show the code of this page";
    }
    button.addEventListener("click", function () {
      const on = button.getAttribute("aria-pressed") !== "true";
      say(on);
      show(on);
    });
    say(false);
    const workshop = document.querySelector("#the-workshop > h2");
    const place = workshop || document.querySelector("main h1");
    if (place) place.after(button);
    document.documentElement.classList.add("hb-js");
  }
})();
