// Words of a chart that lie on other words, turned ones included: two boxes overlap where no edge of either parts them.
(() => {
  const SLACK = 1.5, bad = [];
  // The corners of the ink of a text on the screen: its box without the room above and below the letters.
  function corners(text) {
    const box = text.getBBox(), place = text.getScreenCTM(), lines = Math.max(1, text.querySelectorAll('tspan').length);
    const gap = 0.16 * box.height / lines;
    const ends = [[box.x, box.y + gap], [box.x + box.width, box.y + gap], [box.x + box.width, box.y + box.height - gap],
      [box.x, box.y + box.height - gap]];
    return ends.map(([x, y]) => [place.a * x + place.c * y + place.e, place.b * x + place.d * y + place.f]);
  }
  function span(points, axis) {
    const along = points.map(point => point[0] * axis[0] + point[1] * axis[1]);
    return [Math.min(...along), Math.max(...along)];
  }
  function overlap(one, other) {
    for (const shape of [one, other])
      for (const [a, b] of [[0, 1], [1, 2]]) {
        const side = [shape[b][0] - shape[a][0], shape[b][1] - shape[a][1]], length = Math.hypot(...side);
        if (!length) return false;
        const axis = [side[0] / length, side[1] / length];
        const [low, high] = span(one, axis), [start, end] = span(other, axis);
        if (Math.min(high, end) - Math.max(low, start) <= SLACK) return false;
      }
    return true;
  }
  for (const figure of document.querySelectorAll('.hb-figure'))
    for (const picture of figure.querySelectorAll('.hb-svg svg')) {
      if (!picture.getBoundingClientRect().width) continue;
      const seen = [...picture.querySelectorAll('text')].filter(text => text.textContent.trim() && text.getBBox().width
        && Number(getComputedStyle(text).opacity) > 0.05 && getComputedStyle(text).display !== 'none');
      const shapes = seen.map(corners);
      for (let i = 0; i < seen.length; i++)
        for (let j = i + 1; j < seen.length; j++)
          if (overlap(shapes[i], shapes[j]))
            bad.push(figure.id + ' writes "' + seen[j].textContent + '" over "' + seen[i].textContent + '"');
    }
  return bad;
})()
