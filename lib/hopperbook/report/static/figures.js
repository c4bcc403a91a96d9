// Makes a figure live when it scrolls into view: tooltips and sliders. Without this script its picture stays.
(function () {
  "use strict";
  const bundle = new URL("vega/vega-bundle.js", document.currentScript.src).href;
  let loading = null;

  function load() {
    loading = loading || new Promise(function (done, failed) {
      const script = document.createElement("script");
      script.src = bundle;
      script.onload = function () { done(window.hbVegaEmbed); };
      script.onerror = failed;
      document.head.append(script);
    });
    return loading;
  }

  async function enliven(figure) {
    const specs = JSON.parse(figure.querySelector(".hb-spec").textContent);
    for (const kind of ["wide", "narrow"]) {
      const place = figure.querySelector(".hb-svg.hb-" + kind);
      if (!place || place.dataset.live || place.offsetParent === null) continue;
      place.dataset.live = "yes";
      const embed = await load();
      const view = document.createElement("div");
      const made = await embed(view, Object.assign({}, specs.common, specs[kind]), { actions: false, ast: true, renderer: "svg", tooltip: { disableDefaultStyle: true } });
      const bound = view.querySelector(".vega-bind");
      if (bound) place.setAttribute("role", "group");
      view.querySelectorAll('.vega-bind input[type="range"]').forEach(function (slider) { speak(slider, made.view); });
      const picture = view.querySelector("svg");
      if (picture) {
        picture.setAttribute("role", "img");
        picture.setAttribute("aria-label", place.getAttribute("aria-label"));
      }
      place.replaceChildren(view);
      walk(place, view);
    }
  }

  // Arrow keys step through the marks of a chart that has words for them, Home and End to its ends, Escape leaves.
  function walk(place, view) {
    const shown = function (mark) { return mark.__data__ && mark.__data__.tooltip; };
    const marks = function () { return [...view.querySelectorAll("svg g[class*=mark-] > path, svg g[class*=mark-] > rect")].filter(shown); };
    if (!marks().length) return;
    const said = document.createElement("p");
    said.className = "visually-hidden";
    said.setAttribute("aria-live", "polite");
    place.append(said);
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-roledescription", "chart");
    const hint = document.createElement("p");
    hint.className = "visually-hidden";
    hint.id = place.closest("figure").id + (place.classList.contains("hb-wide") ? "-wide" : "-narrow") + "-keys";
    hint.textContent = "Arrow keys step through the marks.";
    place.append(hint);
    place.setAttribute("aria-describedby", hint.id);
    let at = -1;
    function tell(mark, kind) {
      const box = mark.getBoundingClientRect();
      const where = { bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
      mark.dispatchEvent(new PointerEvent("pointer" + kind, where));
      mark.dispatchEvent(new MouseEvent("mouse" + kind, where));
    }
    function leave() {
      const old = view.querySelector(".hb-at");
      if (old) { tell(old, "out"); old.classList.remove("hb-at"); }
    }
    place.addEventListener("keydown", function (event) {
      const all = marks(), last = all.length - 1;
      const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
      if (event.target !== place || (next === undefined && event.key !== "Escape")) return;
      event.preventDefault();
      leave();
      if (next === undefined) return;
      at = Math.max(0, Math.min(last, next));
      all[at].classList.add("hb-at");
      tell(all[at], "over");
      tell(all[at], "move");
      const words = document.getElementById("vg-tooltip-element");
      said.textContent = (at + 1) + " of " + all.length + ": " + (words ? words.innerText.replace(/\s+/g, " ") : "");
    });
    place.addEventListener("blur", leave);
  }

  // A slider named x says what the parameter x_words says, in units, instead of its bare place.
  function speak(slider, chart) {
    const name = slider.name + "_words";
    if (!(name in chart.getState({ signals: function (each) { return each === name; }, data: function () { return false; } }).signals)) return;
    const bare = slider.nextElementSibling;
    const said = document.createElement("output");
    if (bare) bare.hidden = true;
    slider.after(said);
    function say(_, words) {
      said.textContent = words;
      slider.setAttribute("aria-valuetext", words);
    }
    say(name, chart.signal(name));
    chart.addSignalListener(name, say);
  }

  const figures = document.querySelectorAll(".hb-figure:has(.hb-spec)");
  const watch = new IntersectionObserver(function (entries) {
    for (const entry of entries) if (entry.isIntersecting) enliven(entry.target);
  }, { rootMargin: "200px" });
  figures.forEach(function (figure) { watch.observe(figure); });
  let timer = 0;
  window.addEventListener("resize", function () {
    clearTimeout(timer);
    timer = setTimeout(function () {
      figures.forEach(function (figure) { watch.unobserve(figure); watch.observe(figure); });
    }, 200);
  });
})();
