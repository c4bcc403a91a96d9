// What axe finds on a page, of any impact, one line a rule. Formulas and code are the theme's and are left out. Drawings hold
// thousands of shapes, over which axe would take minutes: of them it looks at names, roles and attributes alone.
(async () => {
  const said = found => found.violations.map(rule =>
    'axe ' + rule.id + ' (' + rule.impact + ', ' + rule.nodes.length + ' times): ' + rule.nodes[0].html.slice(0, 120));
  const look = async () => {
    const page = await axe.run({ exclude: [['.hb-svg svg'], ['.math'], ['.highlight'], ['.hb-numbers table']] }, {
      resultTypes: ['violations'],
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    if (!document.querySelector('.hb-svg')) return said(page);
    const drawings = await axe.run({ include: [['.hb-svg']] }, {
      resultTypes: ['violations'],
      runOnly: ['svg-img-alt', 'role-img-alt', 'aria-roles', 'aria-valid-attr', 'aria-valid-attr-value', 'aria-allowed-attr'],
    });
    return [...said(page), ...said(drawings)];
  };
  const late = new Promise(done => setTimeout(() => done(['axe did not come to an end in time']), 60000));
  return Promise.race([late, look()]);
})()
