"use strict";
(() => {
  const colours = ["#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#db2777", "#65a30d", "#9333ea", "#b45309"];
  const charts = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const main = document.getElementById("charts");
  const plots = [];

  const element = (tag, text, parent) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const shown = (value) => (value == null ? "–" : Number(value.toPrecision(6)).toString());

  function lines(chart, card, points, bars) {
    const data = uPlot.join(chart.traces.map((trace) => [trace.x, trace.y]));
    const axis = (label) => ({
      label, values: (_, ticks) => ticks.map(shown), stroke: () => getComputedStyle(document.body).color, grid: { stroke: "#8884", width: 1 }, ticks: { stroke: "#8884", width: 1 },
    });
    const options = {
      width: card.clientWidth - 32, height: 300, scales: { x: { time: false, range: bars ? edges(chart) : undefined }, y: bars ? { range: (_, low, high) => [0, high * 1.05] } : {} },
      cursor: { focus: { prox: 24 } }, focus: { alpha: 0.3 },
      axes: [axis(chart.x), { ...axis(chart.y), size: 64 }],
      series: [
        { label: chart.x, value: (_, value) => shown(value) },
        ...chart.traces.map((trace, at) => ({
          label: trace.name, stroke: colours[at % colours.length], width: points ? 0 : 2, spanGaps: true,
          fill: bars ? colours[at % colours.length] + "99" : undefined,
          paths: points ? () => null : bars ? uPlot.paths.bars({ size: [0.94, Infinity] }) : undefined, points: { show: points || (!bars && trace.x.length < 40), size: points ? 9 : 5, fill: colours[at % colours.length] },
          value: (_, value) => shown(value),
        })),
      ],
    };
    plots.push({ plot: new uPlot(options, data, card), card });
  }

  // Bars stand around their middles: half of one more on either side.
  function edges(chart) {
    const x = chart.traces[0].x;
    const half = x.length > 1 ? (x[1] - x[0]) / 2 : 0.5;
    return () => [x[0] - half, x[x.length - 1] + half];
  }

  function matrix(chart, card) {
    const most = Math.max(...chart.cells.flat(), 1);
    const table = element("table", undefined, card);
    const head = element("tr", undefined, table);
    element("th", "true \\ predicted", head);
    chart.labels.forEach((label) => element("th", label, head));
    chart.cells.forEach((row, at) => {
      const line = element("tr", undefined, table);
      element("th", chart.labels[at] ?? String(at), line);
      row.forEach((cell, other) => {
        const td = element("td", shown(cell), line);
        td.style.background = `rgba(37, 99, 235, ${(0.75 * cell) / most})`;
        td.title = `${chart.labels[at] ?? at} taken for ${chart.labels[other] ?? other}: ${shown(cell)}`;
      });
    });
  }

  function shares(chart, card) {
    chart.labels.forEach((label, at) => {
      const row = element("div", undefined, card);
      row.className = "share";
      element("span", label, row);
      const bar = element("i", undefined, element("b", undefined, row));
      bar.style.width = `${100 * chart.values[at]}%`;
      element("span", chart.values[at].toFixed(2), row);
    });
  }

  // Every line goes from axis to axis; where it has no value it begins anew after that.
  function parallel(chart, card) {
    const [wide, high, side, top] = [640, 300, 60, 28];
    const drawn = (tag, parent, attributes, text) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
      if (text !== undefined) made.textContent = text;
      parent.append(made);
      return made;
    };
    const svg = drawn("svg", card, { viewBox: `0 0 ${wide} ${high}`, width: "100%" });
    const x = (at) => side + (at * (wide - 2 * side)) / Math.max(1, chart.axes.length - 1);
    const y = (share) => high - 12 - share * (high - top - 24);
    // Beside an axis there is room for few digits.
    const brief = (text) => (text.length > 7 && isFinite(text) ? Number(Number(text).toPrecision(3)).toString() : text);
    const order = [...chart.lines].sort((a, b) => a.good - b.good);
    for (const line of order) {
      let path = "", broken = true;
      line.at.forEach((share, at) => {
        if (share != null) path += `${broken ? "M" : "L"}${x(at)} ${y(share)}`;
        broken = share == null;
      });
      const one = drawn("path", svg, { d: path, fill: "none", stroke: `hsl(${220 - 190 * line.good} 75% 50%)`, "stroke-width": 1.5 + line.good, opacity: 0.25 + 0.7 * line.good });
      drawn("title", one, {}, line.name);
    }
    chart.axes.forEach((axis, at) => {
      drawn("path", svg, { d: `M${x(at)} ${y(0)}V${y(1)}`, stroke: "currentColor", "stroke-width": 1 });
      drawn("text", svg, { x: x(at), y: 14, "text-anchor": "middle", fill: "currentColor", "font-size": 12 }, axis.name);
      axis.ticks.forEach(([share, text]) => drawn("text", svg, { x: x(at) - 4, y: y(share) + 4, "text-anchor": "end", fill: "currentColor", "font-size": 10 }, brief(text)));
    });
  }

  const kinds = {
    curve: (chart, card) => lines(chart, card, false),
    scatter: (chart, card) => lines(chart, card, true),
    bars: (chart, card) => lines(chart, card, false, true),
    matrix, shares, parallel,
    image: (chart, card) => { const img = element("img", undefined, card); img.src = chart.source; img.alt = chart.title; },
  };
  for (const chart of charts) {
    const card = element("section", undefined, main);
    element("h2", chart.title, card);
    kinds[chart.kind](chart, card);
  }
  addEventListener("resize", () => plots.forEach(({ plot, card }) => plot.setSize({ width: card.clientWidth - 32, height: 300 })));
  dark.addEventListener("change", () => plots.forEach(({ plot }) => plot.redraw()));
  // Points that are drawn, for whoever checks the page.
  plots.forEach(({ plot, card }) => (card.dataset.points = String(plot.data.slice(1).flat().filter((y) => y != null).length)));
  document.documentElement.dataset.drawn = String(main.children.length);
})();
