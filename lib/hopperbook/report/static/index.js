"use strict";
const body = document.querySelector("tbody");
const rows = Array.from(body.rows);
document.getElementById("search").addEventListener("input", function (event) {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(function (word) { return text.includes(word); });
  }
});
document.querySelectorAll("th").forEach(function (head, place) {
  head.querySelector("button").addEventListener("click", function () {
    const down = head.getAttribute("aria-sort") === "ascending";
    document.querySelectorAll("th").forEach(function (each) { each.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = function (row) { return row.cells[place].dataset.key; };
    rows.sort(function (one, other) {
      const a = key(one), b = key(other), numbers = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
      return (numbers ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
    });
    body.append(...rows);
  });
});
