// What is wrong with the layout of a page: one line a problem.
(() => {
  const room = document.documentElement.clientWidth; // a phone's innerWidth grows with what is too wide for it
  const wide = document.documentElement.scrollWidth - room, bad = [];
  if (wide > 0) {
    const culprit = [...document.querySelectorAll('main *')].find(e => e.getBoundingClientRect().right > room + 1
      && !e.closest('.hb-scroll, pre, .highlight'));
    const at = culprit ? ' at ' + culprit.tagName + '.' + culprit.className : '';
    bad.push('scrolls sideways by ' + wide + ' px' + at);
  }
  for (const figure of document.querySelectorAll('.hb-figure')) {
    const seen = [...figure.querySelectorAll('.hb-svg svg')].filter(s => {
      const box = s.getBoundingClientRect();
      return box.width > 100 && box.height > 40 && getComputedStyle(s).visibility === 'visible';
    });
    if (seen.length !== 1) bad.push(figure.id + ' shows ' + seen.length + ' pictures instead of one');
    for (const text of figure.querySelectorAll('.hb-svg svg text')) {
      const box = text.getBoundingClientRect(), frame = figure.getBoundingClientRect();
      const out = box.right > frame.right + 3 || box.left < frame.left - 3;
      if (box.width && text.closest('.hb-svg').offsetParent && out)
        bad.push(figure.id + ' clips the words "' + text.textContent + '"');
    }
  }
  for (const image of document.images) if (!image.complete || !image.naturalWidth) bad.push('image ' + image.src);
  return bad;
})()
