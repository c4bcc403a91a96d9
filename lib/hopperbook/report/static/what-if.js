// Two settings side by side, each with the plan of the table's nearest row; the state stands in the address.
(function () {
  "use strict";

  function make(tag, words, attributes) {
    const made = document.createElement(tag);
    if (words) made.textContent = words;
    Object.entries(attributes || {}).forEach(function (pair) { made.setAttribute(pair[0], pair[1]); });
    return made;
  }

  // How far two places lie apart: the ratios of their values, on a logarithmic scale.
  function apart(choices, one, other) {
    return choices.reduce(function (sum, each, k) {
      return sum + Math.abs(Math.log(each.sizes[one[k]] / each.sizes[other[k]]));
    }, 0);
  }

  function start(root) {
    const about = JSON.parse(root.dataset.choices), choices = about.choices;
    const rows = Array.from(root.querySelectorAll("tr[data-place]")).map(function (row) {
      return { row: row, place: row.dataset.place.split(" ").map(Number), usd: JSON.parse(row.dataset.usd) };
    });
    const own = choices.map(function (each) { return each.own; });
    const sides = ["A", "B"].map(function (letter, k) { return side(letter, k ? rows[Math.min(1, rows.length - 1)].place : own); });
    const verdict = make("p", "", { class: "hb-difference", role: "status" });
    const form = make("form", "", { class: "hb-compare", "aria-label": "Compare two settings" });
    sides.forEach(function (each) { form.append(each.set); });
    form.append(verdict);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    form.addEventListener("change", function () { update(); remember(); });
    root.querySelector(".hb-scroll").before(form);
    window.addEventListener("hashchange", recall);
    recall();
    update();

    function side(letter, place) {
      const set = make("fieldset"), found = make("div");
      set.append(make("legend", letter));
      const selects = choices.map(function (each, k) {
        const select = make("select", "", { "aria-label": "Setting " + letter + ": " + each.name });
        each.words.forEach(function (words, value) {
          select.append(make("option", words + (value === each.own ? " (yours)" : ""), { value: value }));
        });
        select.value = place[k];
        const label = make("label");
        label.append(make("span", each.name, { "aria-hidden": "true" }), select);
        set.append(label);
        return select;
      });
      set.append(found);
      return { letter: letter, set: set, selects: selects, found: found, nearest: null };
    }

    function placeOf(each) { return each.selects.map(function (select) { return Number(select.value); }); }

    function update() {
      sides.forEach(function (each) {
        const place = placeOf(each);
        each.nearest = rows.reduce(function (best, row) {
          return apart(choices, row.place, place) < apart(choices, best.place, place) ? row : best;
        });
        tell(each, place);
      });
      const a = sides[0].nearest.usd, b = sides[1].nearest.usd;
      verdict.textContent = a === null || b === null ? "" : difference(a, b);
    }

    function difference(a, b) {
      if (a === b) return "A and B cost the same.";
      const usd = root.dataset.sign + Math.abs(b - a).toLocaleString("en-US", { maximumSignificantDigits: 3 });
      const share = a ? " (" + Number((100 * Math.abs(b / a - 1)).toPrecision(2)) + " %)" : "";
      return "B costs " + usd + " a month" + (b > a ? " more" : " less") + " than A" + share + ".";
    }

    function tell(each, place) {
      const row = each.nearest, list = make("dl"), exact = apart(choices, row.place, place) === 0;
      Array.from(row.row.cells).slice(1).forEach(function (cell) {
        const below = cell.querySelector(".hb-below"), words = make("dd", cell.firstChild ? cell.firstChild.textContent : "");
        if (below) words.append(make("small", below.textContent));
        list.append(make("dt", cell.dataset.label), words);
      });
      const setting = row.row.cells[0].textContent;
      const said = exact ? "This is a plan of the table: " + setting + "."
        : "No plan was worked out for exactly this. Shown is the nearest one of the table: " + setting + ". For yours run:";
      each.found.replaceChildren(make("p", said, { class: "hb-note" }));
      if (!exact) each.found.append(make("code", command(place)));
      each.found.append(list);
      each.set.classList.toggle("hb-near", !exact);
    }

    function changes(place) {
      return choices.map(function (each, k) { return place[k] === each.own ? null : [each.field, each.values[place[k]]]; }).filter(Boolean);
    }

    function command(place) {
      return about.command + changes(place).map(function (pair) { return " --set " + pair.join("="); }).join("");
    }

    function remember() {
      const state = new URLSearchParams();
      sides.forEach(function (each) {
        changes(placeOf(each)).forEach(function (pair) { state.append(each.letter.toLowerCase() + "." + pair[0], pair[1]); });
      });
      history.replaceState(null, "", "#what-if?" + state.toString());
    }

    function recall() {
      if (!location.hash.startsWith("#what-if?")) return;
      const state = new URLSearchParams(location.hash.slice(9));
      sides.forEach(function (each) {
        choices.forEach(function (choice, k) {
          const at = choice.values.indexOf(state.get(each.letter.toLowerCase() + "." + choice.field));
          each.selects[k].value = at < 0 ? choice.own : at;
        });
      });
      update();
      root.scrollIntoView();
    }
  }

  document.querySelectorAll(".hb-what-if").forEach(start);
})();
