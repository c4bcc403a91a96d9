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

// On a phone a long table shows its first rows and the recommended one; a button below it shows the rest.
(function () {
  "use strict";
  document.querySelectorAll(".hb-table:not(.hb-options)").forEach(function (block) {
    const most = block.matches(".hb-many, .hb-inputs") ? 6 : 12;
    const scroll = block.querySelector(".hb-scroll");
    if (!scroll || scroll.querySelectorAll("tbody tr").length <= most) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "hb-rows";
    function say(few) {
      block.classList.toggle("hb-few", few);
      button.setAttribute("aria-expanded", String(!few));
      button.textContent = few ? "Show all rows" : "Show fewer rows";
      button.setAttribute("aria-label", button.textContent + ": " + scroll.getAttribute("aria-label"));
    }
    button.addEventListener("click", function () { say(!block.classList.contains("hb-few")); });
    say(true);
    scroll.after(button);
  });
})();
