"""The page's own script: unpacks the layers, samples a drawn line as `analyse.section` does, offers downloads."""

SCRIPT = r"""
"use strict";
window.terrashift = (() => {
const A = 6378137.0, F = 1 / 298.257223563;  // WGS 84, as in core/grid.py
const state = {layers: {}, line: null, profile: null, ready: false};
let about, models, loading;

async function unpack(text, kind) {
  const packed = await fetch("data:application/octet-stream;base64," + text);  // faster than atob; no network
  const stream = packed.body.pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  return kind === "uint8" ? new Uint8Array(buffer) : kind === "int16" ? new Int16Array(buffer) : new Int32Array(buffer);
}

async function load() {
  await Promise.all(Object.entries(about.layers).map(async ([name, layer]) => {
    const raw = await unpack(layer.data, layer.kind);
    const values = new Float32Array(raw.length);
    for (let i = 0; i < raw.length; i++) values[i] = raw[i] === layer.missing ? NaN : raw[i] * layer.step;
    state.layers[name] = values;
    layer.data = null;
  }));
  const {east, north, sigma_east, sigma_north, reasons} = state.layers;
  state.layers.magnitude = lengths(east, north);
  if (sigma_east) state.layers.sigma = lengths(sigma_east, sigma_north);
  const cause = state.layers.cause = new Float32Array(reasons.length);
  for (let i = 0; i < cause.length; i++) cause[i] = reasons[i] > 0 ? 32 - Math.clz32(reasons[i] & -reasons[i]) : 0;
}

function lengths(x, y) {
  const found = new Float32Array(x.length);
  for (let i = 0; i < found.length; i++) found[i] = Math.sqrt(x[i] * x[i] + y[i] * y[i]);
  return found;
}

function show() {
  const {height, width} = about.grid;
  for (const [name, source] of Object.entries(models.images)) {
    const values = state.layers[name], shown = new Float32Array(values.length);
    for (let row = 0; row < height; row++) {  // Bokeh's first row is the lowest
      const to = about.frame.dy < 0 ? height - 1 - row : row;
      shown.set(values.subarray(row * width, (row + 1) * width), to * width);
    }
    const kind = source.data.image[0].constructor;  // Bokeh's own array with a shape
    source.data = {...source.data, image: [new kind(shown.buffer, [height, width])]};
  }
}

// ---- as analyse/section.py ----
function metric(row) {
  if (!about.grid.geographic) return about.grid.metric;
  const [a, b, c, d, e, f] = about.grid.transform;
  const latitude = (d * about.grid.width / 2 + e * row + f) * Math.PI / 180;
  const e2 = F * (2 - F), w = Math.sqrt(1 - e2 * Math.sin(latitude) ** 2);
  const east = Math.PI / 180 * A / w * Math.cos(latitude), north = Math.PI / 180 * A * (1 - e2) / w ** 3;
  return [a * east, b * east, d * north, e * north];
}

function bilinear(band, row, column) {
  const {height, width} = about.grid, top = Math.floor(row), left = Math.floor(column);
  let total = 0, weight = 0;
  for (let i = 0; i < 2; i++) for (let j = 0; j < 2; j++) {
    const r = top + i, c = left + j;
    if (r < 0 || c < 0 || r >= height || c >= width) continue;
    const value = band[r * width + c];
    if (!Number.isFinite(value)) continue;
    const w = (i ? row - top : 1 - row + top) * (j ? column - left : 1 - column + left);
    total += w * value; weight += w;
  }
  return weight >= about.enough ? total / weight : NaN;
}

function section(begin, end) {  // (column, row)
  const dc = end[0] - begin[0], dr = end[1] - begin[1], [a, b, d, e] = metric((begin[1] + end[1]) / 2);
  const ground = [a * dc + b * dr, d * dc + e * dr], length = Math.hypot(...ground);
  if (!(length > 0)) return null;
  const u = ground[0] / length, v = ground[1] / length;
  const steps = Math.max(1, Math.ceil(Math.hypot(dc, dr))), t = about.grid.transform;
  const names = ["distance", "x", "y", "east", "north", "sigma_east", "sigma_north", "along", "across",
    "sigma_along", "sigma_across"];
  const found = Object.fromEntries(names.map(name => [name, []]));
  for (let k = 0; k <= steps; k++) {
    const column = begin[0] + k / steps * dc, row = begin[1] + k / steps * dr;
    const at = name => state.layers[name] ? bilinear(state.layers[name], row - 0.5, column - 0.5) : NaN;
    const [east, north, se, sn] = ["east", "north", "sigma_east", "sigma_north"].map(at);
    const values = [k / steps * length, t[0] * column + t[1] * row + t[2], t[3] * column + t[4] * row + t[5],
      east, north, se, sn, u * east + v * north, u * north - v * east,
      Math.hypot(u * se, v * sn), Math.hypot(u * sn, v * se)];
    names.forEach((name, i) => found[name].push(values[i]));
  }
  return found;
}
// ---- until here ----

function toCells(x, y) {
  const f = about.frame;
  return [(x - f.x0) / f.dx, (y - f.y0) / f.dy];
}

function profile(xs, ys) {
  const begin = toCells(xs[0], ys[0]), end = toCells(xs[1], ys[1]), found = section(begin, end);
  if (!found) return;
  state.line = {xs, ys, cells: [begin, end]};
  state.profile = found;
  models.line.data = {x: xs, y: ys};
  const data = {};
  for (const name of ["east", "north", "along", "across"]) {
    const stated = found["sigma_" + name], fallback = about.noise[name === "east" || name === "along" ? 0 : 1];
    const sigma = stated.map(s => Number.isFinite(s) ? s : fallback);
    data[name] = found[name];
    data[name + "_low"] = found[name].map((v, i) => v - sigma[i]);
    data[name + "_high"] = found[name].map((v, i) => v + sigma[i]);
  }
  models.profile.data = {distance: found.distance, ...data};
  const n = found.distance.length, t = x => Math.abs(x) >= 1000 ? x.toFixed(0) : x.toPrecision(6);
  const known = found.east.filter(Number.isFinite).length;
  document.getElementById("line-text").textContent =
    `from (${t(found.x[0])}, ${t(found.y[0])}) to (${t(found.x[n - 1])}, ${t(found.y[n - 1])}), ` +
    `${t(found.distance[n - 1])} ${about.grid.unit}, ${n} samples, ${known} with a value`;
}

function drawn() {
  const xs = models.drawn.data.xs, ys = models.drawn.data.ys, k = xs.length - 1;
  if (k < 0 || xs[k].length < 2) return;
  profile([xs[k][0], xs[k][xs[k].length - 1]], [ys[k][0], ys[k][ys[k].length - 1]]);
}

function point(event) {
  const [column, row] = toCells(event.x, event.y).map(Math.floor), {height, width} = about.grid;
  const box = document.getElementById("readout");
  if (!(row >= 0 && column >= 0 && row < height && column < width)) { box.textContent = about.hint; return; }
  const i = row * width + column, l = state.layers, t = about.grid.transform, u = about.grid.unit;
  const x = t[0] * (column + 0.5) + t[1] * (row + 0.5) + t[2], y = t[3] * (column + 0.5) + t[4] * (row + 0.5) + t[5];
  const n = v => Number.isFinite(v) ? v.toFixed(about.digits) : "–";
  const pm = name => l["sigma_" + name] && Number.isFinite(l[name][i]) ? " ± " + n(l["sigma_" + name][i]) : "";
  const degrees = (Math.atan2(l.east[i], l.north[i]) * 180 / Math.PI + 360) % 360;
  const parts = [`x ${x.toFixed(about.place_digits)}  y ${y.toFixed(about.place_digits)}`];
  if (Number.isFinite(l.east[i])) {
    parts.push(`east ${n(l.east[i])}${pm("east")} ${u}`, `north ${n(l.north[i])}${pm("north")} ${u}`,
      `size ${n(l.magnitude[i])} ${u} toward ${degrees.toFixed(0)}°`);
  }
  if (Number.isFinite(l.score[i])) parts.push(`score ${l.score[i].toFixed(2)}`);
  const why = about.reasons.filter((_, k) => l.reasons[i] >> k & 1);
  if (why.length) parts.push("no value: " + why.join("; "));
  box.textContent = parts.join("   ·   ");
}

function sync(changed) {  // one tool for all maps
  for (const set of models.tools) for (const tool of set)
    if (tool !== changed && tool.type === changed.type && tool.active !== changed.active && changed.active)
      tool.active = true;
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function csv(columns) {
  const names = Object.keys(columns), n = columns[names[0]].length, lines = [names.join(",")];
  for (let i = 0; i < n; i++) lines.push(names.map(k => Number.isFinite(columns[k][i]) ? columns[k][i] : "").join(","));
  return lines.join("\n") + "\n";
}

function choose(kind) {
  const compass = kind === "compass";
  for (const r of models.compass) r.visible = compass;
  for (const r of models.turned) r.visible = !compass;
  models.legend.forEach((item, k) => { item.visible = compass === k < 2; });
}

function still() {  // what a printer shows: a browser scales pictures to the paper, but not canvases
  for (const box of document.querySelectorAll(".fig")) {
    const root = box.querySelector("[data-root-id]"), view = root && Bokeh.index.find_one_by_id(root.dataset.rootId);
    if (view) box.querySelector(".still").src = view.export("png", true).canvas.toDataURL();
  }
}

function buttons() {
  window.addEventListener("beforeprint", still);

  document.getElementById("save-profile").onclick = () => save("profile.csv", csv(state.profile));
  for (const radio of document.querySelectorAll("input[name=components]"))
    radio.onchange = () => choose(radio.value);
  for (const [id, renderers] of [["show-vectors", models.vectors], ["show-stable", models.stable]]) {
    const box = document.getElementById(id);
    if (box) box.onchange = () => { for (const r of renderers) r.visible = box.checked; };
  }
  document.getElementById("reset").onclick = () => {
    const [x, y] = models.ranges, [left, right, bottom, top] = about.extent;
    x.setv({start: left, end: right}); y.setv({start: bottom, end: top});
  };
  const slip = document.getElementById("save-slip");
  if (slip) slip.onclick = () => save("slip.csv", csv(about.slip));
}

function prepare() {  // the layers unpack while Bokeh starts
  about = JSON.parse(document.getElementById("layers").textContent);
  document.getElementById("readout").textContent = about.hint;
  loading = load();
}

async function start(given) {
  models = given;
  await loading;
  show();
  buttons();
  choose("compass");
  profile(...about.line);
  state.ready = true;
  performance.mark("ready");
  document.body.classList.add("ready");
}

return {state, still, prepare, start, drawn, point, sync, profile};
})();
"""

STYLE = """
:root { --ink: #1f2933; --soft: #5b6770; --rule: #dde3e8; --accent: #0b6e78; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1420px; padding: 28px 32px 48px; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 27px; font-weight: 650; margin: 0 0 2px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; font-weight: 650; margin: 38px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule); }
.sub, .note { color: var(--soft); margin: 0; overflow-wrap: anywhere; } .note { font-size: 13.5px; max-width: 90ch; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 20px 0 0; }
.card { border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; }
.card b { display: block; font-size: 21px; font-weight: 620; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); gap: 8px 44px; }
.columns h3 { font-size: 15px; margin: 14px 0 6px; }
.still { display: none; }
.maps { display: flex; flex-wrap: wrap; gap: 8px 10px; }
#readout { position: sticky; top: 0; z-index: 5; background: #f4f7f9; border: 1px solid var(--rule); border-radius: 6px;
  padding: 6px 12px; margin: 0 0 10px; font-size: 13.5px; font-variant-numeric: tabular-nums; min-height: 34px;
  white-space: pre-wrap; }
.bar { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: center; margin: 8px 0; font-size: 14px; }
button { font: inherit; font-size: 13.5px; color: var(--accent); background: #fff; border: 1px solid var(--accent);
  border-radius: 6px; padding: 4px 12px; cursor: pointer; } button:hover { background: #e9f4f5; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); margin: 4px 0 0; }
.legend i { display: inline-block; width: 13px; height: 13px; border: 1px solid #9aa5ae; margin-right: 6px;
  vertical-align: -2px; }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--accent); }
pre { font-size: 12.5px; background: #f4f7f9; padding: 12px; border-radius: 6px; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  body { padding: 0; max-width: none; font-size: 10pt; } button, .bar, #readout, details { display: none; }
  .fig > :not(.still) { display: none !important; } .fig > .still { display: block; width: 100%; }
  .fig, table, .card { break-inside: avoid; } h2 { break-after: avoid; margin-top: 18px; }
  .maps > .fig { width: 48.5%; } .cards { grid-template-columns: repeat(5, 1fr); } .card b { font-size: 13pt; }
}
"""
