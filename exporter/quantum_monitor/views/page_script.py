"""What a page with figures has beside plotly.js: a style sheet, and the script that draws the figures."""

STYLE = """
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem }
figure.plot { background: var(--back); border: 1px solid var(--line); padding: .5rem }
figure.plot > figcaption { font-size: .95rem; padding: .25rem .25rem 0 }
figure.plot > p { padding: 0 .25rem }
.figures > figure.plot { display: flex; flex-direction: column }
.drawing { overflow: hidden; flex: 1; position: relative } .drawing > div { position: absolute; inset: 0 }
.drawing.fixed { overflow-x: auto } .drawing.fixed > div { position: static }
@media print { .figures { display: block } figure.plot { border: 0; padding: 0; margin: 1rem 0 } }
"""

SCRIPT = """
(() => {
  'use strict';
  const templates = JSON.parse(document.getElementById('templates').textContent);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const config = {responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: '', topojsonURL: '',
    modeBarButtonsToRemove: ['select2d', 'lasso2d'], toImageButtonOptions: {format: 'svg', filename: 'figure'}};
  const own = (t) => [...t.layout.colorway, t.layout.font.color, t.layout.paper_bgcolor, t.layout.xaxis.gridcolor,
    t.layout.xaxis.linecolor];
  const swaps = {};
  for (const [to, from] of [['light', 'dark'], ['dark', 'light']])
    swaps[to] = new Map(own(templates[from]).map((colour, place) => [colour, own(templates[to])[place]]));

  // The colours in a figure that are those of the other theme; texts of the same letters are left alone.
  const recolour = (value, swap, colours) => {
    if (typeof value === 'string') return colours && swap.has(value) ? swap.get(value) : value;
    if (Array.isArray(value))
      return colours || typeof value[0] === 'object' ? value.map((item) => recolour(item, swap, colours)) : value;
    if (value === null || typeof value !== 'object') return value;
    for (const key of Object.keys(value)) value[key] = recolour(value[key], swap, /colors?$/.test(key));
    return value;
  };

  const draw = (box, onPaper) => {
    const place = box.querySelector('.drawing > div');
    const figure = JSON.parse(box.querySelector('script').textContent);
    const theme = dark.matches && !onPaper ? 'dark' : 'light';
    if (figure.ours) {
      recolour(figure.data, swaps[theme], false);
      recolour(figure.layout, swaps[theme], false);
      figure.layout.template = templates[theme];
    }
    figure.layout.uirevision = 'as the reader left it';
    if (onPaper && figure.layout.autosize) Object.assign(figure.layout, {width: 660, autosize: false});
    // It fills its box, which grows with the highest of its row.
    else if (figure.layout.autosize) delete figure.layout.height;
    return Promise.resolve().then(() =>
      Plotly.react(place, {data: figure.data, layout: figure.layout, config, frames: figure.frames})
    ).catch((error) => { place.textContent = 'This figure cannot be drawn here: ' + error; });
  };
  // What the figures are drawn for is told once they are: light, dark or paper.
  const drawAll = (paper) => Promise.all([...document.querySelectorAll('figure.plot')].map((box) => draw(box, paper)))
    .then(() => { document.documentElement.dataset.drawn = paper ? 'paper' : dark.matches ? 'dark' : 'light'; });

  dark.addEventListener('change', () => drawAll(false));
  addEventListener('beforeprint', () => drawAll(true));
  addEventListener('afterprint', () => drawAll(false));
  drawAll(false);
})();
"""
