// What axe finds on a page, of any impact, one line a rule. The inside of pictures, formulas and code is left out: the first have
// names that are looked at, the others are the theme's, and axe would take minutes over them.
Promise.race([
  new Promise(done => setTimeout(() => done(['axe did not come to an end in time']), 60000)),
  axe.run({ exclude: [['.hb-svg svg'], ['.math'], ['.highlight'], ['.hb-numbers table']] }, {
    resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }).then(found => found.violations.map(rule =>
    'axe ' + rule.id + ' (' + rule.impact + ', ' + rule.nodes.length + ' times): ' + rule.nodes[0].html.slice(0, 120))),
])
