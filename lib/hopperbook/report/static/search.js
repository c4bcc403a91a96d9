// Ranks chapters by how often their sections say what was asked, numbers included.  Sphinx's own search, which knows only
// headings and what a translation adds, stands in for the rest.
(function () {
  "use strict";
  const known = window.hbSearch;
  if (!known || typeof Search === "undefined") return;
  const others = Search._performSearch;
  const mean = known.sections.reduce(function (sum, each) { return sum + each[3]; }, 0) / known.pages.length;
  const lengths = known.pages.map(function () { return 0; });
  known.sections.forEach(function (each) { lengths[each[0]] += each[3]; });

  // The words of a query, a number without its commas; a number and a unit are one word where the book has it.
  function words(query) {
    const stemmer = new Stemmer();
    function root(word) { return /^\p{L}{4,}$/u.test(word) ? stemmer.stemWord(word) : word; }
    const split = /\p{L}+-\p{L}+|\d+(?:[.,]\d+)+|[\p{L}\p{N}_]+/gu;
    const found = (query.toLowerCase().match(split) || []).flatMap(function (word) {
      const joined = word.replace("-", "");
      return word.includes("-") && !Object.hasOwn(known.words, root(joined)) ? word.split("-") : [joined.replace(/,/g, "")];
    });
    for (let i = 0; i + 1 < found.length; i++) {
      const joined = found[i] + found[i + 1];
      if (/^\d/.test(joined) && Object.hasOwn(known.words, joined)) found.splice(i, 2, joined);
    }
    return found.map(root).filter(function (word) { return Object.hasOwn(known.words, word) || stopwords.indexOf(word) < 0; });
  }

  // Sections with their counts; of a word that no section says, those of the words that it begins.
  function postings(word) {
    const begun = function (other) { return /^\p{L}{3,}$/u.test(word) && other.startsWith(word); };
    const said = Object.hasOwn(known.words, word) ? [word] : Object.keys(known.words).filter(begun);
    const found = new Map();
    said.forEach(function (each) {
      const flat = known.words[each];
      for (let i = 0; i < flat.length; i += 2) found.set(flat[i], (found.get(flat[i]) || 0) + flat[i + 1]);
    });
    return [...found];
  }

  // Okapi BM25 over pages; of a page the sections that say most of the words, once each.
  function rank(asked) {
    const pages = new Map();
    asked.forEach(function (word) {
      const hits = postings(word), counts = new Map();
      hits.forEach(function (hit) {
        const page = known.sections[hit[0]][0];
        counts.set(page, (counts.get(page) || 0) + hit[1]);
      });
      const rare = Math.log(1 + (known.pages.length - counts.size + .5) / (counts.size + .5));
      counts.forEach(function (count, page) {
        if (!pages.has(page)) pages.set(page, { score: 0, words: 0, sections: new Map() });
        const each = pages.get(page);
        each.score += rare * count * 2.5 / (count + 1.5 * (.4 + .6 * lengths[page] / mean));
        each.words += 1;
      });
      hits.forEach(function (hit) {
        const held = pages.get(known.sections[hit[0]][0]).sections;
        held.set(hit[0], (held.get(hit[0]) || 0) + 1000 + Math.min(hit[1], 99));
      });
    });
    return [...pages].filter(function (each) { return each[1].words === asked.length; })
      .sort(function (a, b) { return b[1].score - a[1].score; });
  }

  function escaped(text) {
    const holder = document.createElement("span");
    holder.textContent = text;
    return holder.innerHTML;
  }

  Search._performSearch = function (query, ...rest) {
    const asked = words(query);
    const names = Search._index.docnames, titles = Search._index.titles, files = Search._index.filenames;
    const found = [];
    rank(asked).forEach(function (each, place) {
      const name = known.pages[each[0]], at = names.indexOf(name);
      const best = [...each[1].sections].sort(function (a, b) { return b[1] - a[1] || a[0] - b[0]; }).slice(0, 3);
      best.forEach(function (hit, order) {
        const section = known.sections[hit[0]], page = titles[at];
        const words = section[2] && escaped(section[2]) !== page ? page + " › " + escaped(section[2]) : page;
        found.push([name, words, "#" + section[1], null, 1e4 - 10 * place - order, files[at]]);
      });
    });
    return found.length ? found.reverse() : others.call(Search, query, ...rest);
  };
})();
