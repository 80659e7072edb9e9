"use strict";

// The page arrives with all its text; this script draws the charts and handles the controls.
// A part is a few charts. A report contains its parts; the dashboard serves them.

const $ = (id) => document.getElementById(id);
const parts = new Map();
let catalogue = JSON.parse($("catalogue").textContent);

async function part(name) {
  if (!parts.has(name)) {
    const own = $(`part-${name}`);
    parts.set(name, own ? JSON.parse(own.textContent) : await fetched(name));
  }
  return parts.get(name);
}

async function fetched(name) {
  const query = new URLSearchParams(location.search);
  query.set("part", name);
  const reply = await fetch(`/part?${query}`);
  if (!reply.ok) return { charts: [], problem: `cannot load this part: HTTP status ${reply.status}` };
  return reply.json();
}

// -- the choice: kept in the address, so that it can be shared and survives a reload --------------

const chosen = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function remember() {
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
}

function options(select, rows, wanted) {
  select.replaceChildren(...rows.map(([value, text]) => new Option(text, value)));
  const values = rows.map(([value]) => value);
  select.value = values.includes(wanted) ? wanted : values[0] ?? "";
  return select.value;
}

function fill() {
  const scenarios = catalogue.scenarios;
  chosen.scenario = options($("scenario"), scenarios.map((one) => [one.name, one.name]), chosen.scenario);
  const scenario = scenarios.find((one) => one.name === chosen.scenario);
  if (!scenario) return null;
  const blocks = scenario.blocks.map((one) => [`${one.connections} ${one.load}`, one.label]);
  const most = blocks.filter(([value]) => value.endsWith(" rate")).at(-1) ?? blocks.at(-1);
  chosen.block = options($("block"), blocks, blocks.some(([v]) => v === chosen.block) ? chosen.block : most[0]);
  const block = scenario.blocks.find((one) => `${one.connections} ${one.load}` === chosen.block);
  const lanes = block.lanes.filter((one) => isShown(one));
  const before = lanes.find((one) => `${one.contender} ${one.run}` === chosen.lane);
  const part = options($("lane"), lanes.map((one) => [one.part, one.label]), before?.part);
  const lane = lanes.find((one) => one.part === part);
  chosen.lane = lane ? `${lane.contender} ${lane.run}` : "";
  return [catalogue.overview, scenario.part, block.part, ...(lane ? [lane.part] : [])];
}

function hidden(name) {
  return new Set([...document.querySelectorAll(`input[name=${name}]:not(:checked)`)].map((box) => box.value));
}

function isShown(of) {
  return !hidden("contender").has(of.contender) && !hidden("run").has(of.run);
}

// -- drawing -------------------------------------------------------------------------------------

let turn = 0;

// The text is readable at once; Plotly loads afterwards.
const drawing = new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(() => {
    const script = document.createElement("script");
    const own = $("plotly");
    if (own) {
      script.textContent = own.textContent;
      document.head.append(script);
      resolve();
    } else {
      script.src = "/static/plotly.min.js";
      script.onload = resolve;
      document.head.append(script);
    }
  }));
});

async function show() {
  const mine = ++turn;
  const names = fill();
  remember();
  for (const row of document.querySelectorAll("tr[data-contender]")) {
    row.hidden = !isShown({ contender: row.dataset.contender, run: row.dataset.run });
  }
  if (!names) return;
  const loaded = await Promise.all(names.map(part));
  await drawing;
  if (mine !== turn) return; // the choice has changed meanwhile
  const figures = loaded.flatMap(({ charts, problem }) => [
    ...charts.map(figureOf), ...(problem ? [problemOf(problem)] : []),
  ]);
  for (const old of document.querySelectorAll("#charts .js-plotly-plot")) Plotly.purge(old);
  $("charts").replaceChildren(...figures);
  $("charts").dataset.turn = mine;
  for (const figure of figures) if (figure.chart) visibility.observe(figure);
}

const visibility = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      visibility.unobserve(target);
      draw(target);
    }
  }
}, { rootMargin: "200px" });

function element(tag, text = "", classes = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = classes;
  return made;
}

function problemOf(text) {
  return element("p", text, "problem");
}

function figureOf(chart) {
  const { tall, height } = chart.layout;
  const figure = element("figure", "", tall || height ? "wide" : "");
  figure.chart = chart;
  figure.id = `chart-${chart.name}`;
  const plot = element("div", "", "plot");
  if (height) plot.style.height = `${height}px`;
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${chart.title}. ${chart.read}`);
  const caption = element("figcaption");
  const notes = element("ul");
  notes.append(...chart.notes.map((note) => element("li", note)));
  const csv = element("button", "CSV", "csv");
  csv.type = "button";
  csv.setAttribute("aria-label", `${chart.title}: download as CSV`);
  csv.onclick = () => download(chart);
  const numbers = element("details");
  numbers.append(element("summary", "the numbers"));
  numbers.ontoggle = () => { if (numbers.open && numbers.children.length === 1) numbers.append(tableOf(chart)); };
  const buttons = element("div", "", "buttons");
  buttons.append(csv, numbers);
  caption.append(
    element("p", chart.read), element("p", chart.circumstances, "circumstances"),
    ...(chart.notes.length ? [notes] : []), buttons,
  );
  figure.append(element("h3", chart.title), plot, caption);
  return figure;
}

function draw(figure) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const { tall, height, ...own } = figure.chart.layout;
  const layout = {
    ...own, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: { color: colour("--text"), size: 12 }, margin: { l: 56, r: 12, t: 8, b: 48 },
    legend: { orientation: "h", y: height ? -0.24 : tall ? -0.1 : -0.2, yanchor: "top", font: { size: 11 } }, hovermode: tall ? "x" : "closest",
    hoverlabel: { namelength: -1 },
  };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis/.test(key)) {
      layout[key] = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), ...layout[key] };
    }
  }
  const traces = figure.chart.traces.filter((trace) => isShown(trace.meta)).map(escaped);
  for (const trace of traces) {
    if (trace.type === "bar" || trace.meta.more === "total") trace.error_y = { ...trace.error_y, color: colour("--text") };
    if (matchMedia("(max-width: 700px)").matches) trace.hoverlabel = { namelength: 12 };
  }
  const plot = figure.querySelector(".plot");
  plot.removeAttribute("data-drawn");
  return Plotly.react(plot, traces, layout, { responsive: true, displayModeBar: false })
    .then(() => plot.setAttribute("data-drawn", traces.length));
}

// Plotly interprets some HTML in names; text from a bundle must stay text.
function escaped(trace) {
  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("&lt;br>", "<br>");
  const copy = { ...trace, name: plain(trace.name) };
  if (Array.isArray(trace.text)) copy.text = trace.text.map(plain);
  if (trace.x.some((x) => typeof x === "string")) copy.x = trace.x.map(plain);
  if (trace.error_x) copy.y = trace.y.map(plain);
  return copy;
}

function redraw() {
  for (const figure of document.querySelectorAll("#charts figure")) {
    if (figure.querySelector(".js-plotly-plot")) draw(figure);
  }
}

// -- numbers -------------------------------------------------------------------------------------

function rowsOf({ traces, columns }) {
  const names = ["series", "contender", "run", columns.x, columns.y, "low", "high"];
  if (columns.z) names.push(columns.z);
  names.push("said");
  const rows = traces.filter((trace) => isShown(trace.meta)).flatMap((trace) => {
    const head = [trace.meta.more || trace.name, trace.meta.contender, trace.meta.run];
    if (trace.z) {
      // x and y are edges: one more than there are columns and rows.
      return trace.z.flatMap((line, y) => line.flatMap((z, x) => (z === null ? [] : [[...head, trace.x[x], trace.y[y], "", "", z, ""]])));
    }
    return trace.x.map((x, i) => {
      const error = trace.error_x ?? trace.error_y, of = trace.error_x ? x : trace.y[i];
      const down = error?.arrayminus?.[i], up = error?.array?.[i];
      return [
        ...head, x, trace.y[i], down === undefined ? "" : of - down, up === undefined ? "" : of + up,
        ...(columns.z ? [""] : []), trace.text?.[i] ?? "",
      ];
    });
  });
  return [names, ...rows];
}

function csvOf(chart) {
  // A leading sign of a formula is quoted: a spreadsheet would run it.
  const field = (value) => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rowsOf(chart).map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

function download(chart) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csvOf(chart)], { type: "text/csv" }));
  link.download = `${chart.name}-${chosen.scenario}-${chosen.block}.csv`.replaceAll(/[^\w.-]+/g, "-");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function tableOf(chart) {
  const [names, ...rows] = rowsOf(chart);
  const table = element("table");
  const line = (cells, tag) => {
    const row = element("tr");
    row.append(...cells.map((cell) => element(tag, typeof cell === "number" ? Number(cell.toPrecision(4)).toLocaleString("en") : cell)));
    return row;
  };
  table.append(line(names, "th"), ...rows.slice(0, 500).map((row) => line(row, "td")));
  const scroll = element("div", "", "scroll");
  scroll.append(table);
  return scroll;
}

// -- choosing ------------------------------------------------------------------------------------

$("controls").addEventListener("submit", (event) => event.preventDefault());
$("controls").addEventListener("change", ({ target }) => {
  if (target.id === "lane") laneOf(target.value);
  else if (target.id) chosen[target.id] = target.value;
  show();
});

function laneOf(part) {
  const lane = catalogue.scenarios.flatMap((one) => one.blocks).flatMap((one) => one.lanes).find((one) => one.part === part);
  chosen.lane = `${lane.contender} ${lane.run}`;
}

function store(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch { /* some browsers store nothing for local files: then it holds for this view only */ }
  return null;
}

const root = document.documentElement;
root.dataset.theme = store("theme") ?? "";
$("theme").onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  store("theme", root.dataset.theme);
  redraw();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// -- while a run is live: the same page, with more cells --------------------------------------------

async function refresh() {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  for (const id of ["runs", "problems", "headline", "advice", "verdicts", "circumstances"]) {
    const open = [...$(id).querySelectorAll("details")].map((one) => one.open);
    $(id).replaceChildren(...page.getElementById(id).childNodes);
    $(id).querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? false; });
  }
  catalogue = JSON.parse(page.getElementById("catalogue").textContent);
  parts.clear();
  await show();
}

if (catalogue.live && location.protocol.startsWith("http")) {
  const events = new EventSource(`/events${location.search}`);
  events.onmessage = async () => {
    await refresh();
    if (!catalogue.live) events.close();
  };
}

show();
