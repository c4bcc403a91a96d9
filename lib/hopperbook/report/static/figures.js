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
    }
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
