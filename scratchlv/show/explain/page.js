"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const H = 1e-5;

// --- the tape: what the reference computed, played again -------------------------------------------------------------

const names = data.tape.names, computed = Int32Array.from(data.tape.computed);
const original = new Float64Array(data.tape.n);
for (const [place, value] of data.tape.given) original[place] = value;

/** All values, with the numbers at some places (a Map) replaced, and the one at `shifted`, computed or not, moved by `by`. */
function play(changed, shifted = -1, by = 0) {
  const v = Float64Array.from(original);
  for (const [place, value] of changed) v[place] = value;
  if (shifted >= 0) v[shifted] += by;
  for (let k = 0; k < computed.length; k += 4) {
    const place = computed[k], a = v[computed[k + 2]], b = v[computed[k + 3]];
    switch (names[computed[k + 1]]) {
      case "add": v[place] = a + b; break;
      case "sub": v[place] = a - b; break;
      case "mul": v[place] = a * b; break;
      case "div": v[place] = a / b; break;
      case "pow": v[place] = a ** b; break;
      case "neg": v[place] = -a; break;
      case "exp": v[place] = Math.exp(a); break;
      case "log": v[place] = Math.log(a); break;
      case "tanh": v[place] = Math.tanh(a); break;
    }
    if (place === shifted) v[place] += by;
  }
  return v;
}

const loss = (v) => data.dy.reduce((sum, dy, k) => sum + v[dy] * v[data.outputs[k]], 0);
const slope = (place) => (loss(play(edits, place, H)) - loss(play(edits, place, -H))) / (2 * H);

const turned = Math.min(...data.dy); // places from here on are those of the backward pass
const edits = new Map(), analytic = new Map(data.analytic), editable = new Map(), gradientOf = new Map();
for (const [name, { shape, at }] of Object.entries(data.inputs))
  at.forEach((place, k) => editable.set(place, label(name, shape, k)));
for (const [place, gradient] of data.analytic) gradientOf.set(gradient, place);
let values = play(edits), at = 0;

// --- words -----------------------------------------------------------------------------------------------------------

function index(shape, k) {
  const found = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) { found.unshift(k % shape[axis]); k = Math.floor(k / shape[axis]); }
  return found;
}
function label(name, shape, k) { return shape.length ? `${name}[${index(shape, k).join(", ")}]` : name; }
const short = (x) => (Math.abs(x) >= 1000 || (x !== 0 && Math.abs(x) < 0.005) ? x.toExponential(0) : x.toFixed(2));
const long = (x) => (x === 0 ? "0" : Number(x.toPrecision(7)).toString());

function told(name, place) {
  let text = `${name} = ${long(values[place])}`;
  if (gradientOf.has(place)) return `${text} · a gradient; the slope, measured: ${long(slope(gradientOf.get(place)))}`;
  if (place >= turned) return `${text} · on the way back; it is not the whole gradient of a number`;
  const s = slope(place);
  text += ` · slope of L, measured: ${long(s)}`;
  if (!analytic.has(place)) return `${text} · backward has no name for it`;
  const g = values[analytic.get(place)];
  return `${text} · by backward: ${long(g)} · apart by ${Math.abs(g - s).toExponential(0)}`;
}

// --- arrays ----------------------------------------------------------------------------------------------------------

/** A table of an array: its last axis of more than one number goes across, those before it down: a grey picture looks like one. */
function card(name, shape, places, written = []) {
  const table = document.createElement("table"), marked = new Set(written);
  table.setAttribute("role", "grid");
  const caption = table.createCaption();
  caption.innerHTML = `<span></span> <span class="shape"></span>`;
  caption.firstChild.textContent = name;
  caption.lastChild.textContent = shape.length ? `(${shape.join(", ")})` : "a number";
  let across = shape.length - 1;
  while (across > 0 && shape[across] === 1) across--;
  const columns = shape.length ? shape[across] : 1, rows = places.length / columns;
  const largest = Math.max(...places.map((p) => Math.abs(values[p])), 1e-30);
  for (let r = 0; r < rows; r++) {
    const row = table.insertRow();
    row.setAttribute("role", "row");
    if (across > 0) {
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = index(shape.slice(0, across), r).join(",");
      row.append(head);
    }
    for (let c = 0; c < columns; c++) {
      const k = r * columns + c, place = places[k], cell = row.insertCell();
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = k ? -1 : 0;
      cell.dataset.place = place;
      cell.dataset.name = label(name, shape, k);
      paint(cell, largest);
      if (marked.has(k)) cell.classList.add("written");
      if (editable.has(place)) cell.classList.add("editable");
      if (edits.has(place)) cell.classList.add("changed");
    }
  }
  const box = document.createElement("div");
  box.className = "card";
  box.append(table);
  return box;
}

function paint(cell, largest) {
  const value = values[cell.dataset.place], strength = Math.min(1, Math.abs(value) / largest);
  cell.textContent = short(value);
  cell.style.background = `rgba(var(--${value < 0 ? "negative" : "positive"}), ${(0.55 * strength).toFixed(3)})`;
  cell.setAttribute("aria-label", `${cell.dataset.name} ${short(value)}`);
}

/** Each variable as it is after the steps up to `n`: the last that was written of its name, in its function. */
function standing(n, fn) {
  const found = new Map();
  if (fn === 0) for (const [name, { shape, at }] of Object.entries(data.inputs)) found.set(name, [name, shape, at, []]);
  for (const [f, , , , writes] of data.steps.slice(0, n)) if (f === fn) for (const each of writes) found.set(each[0], each);
  return found;
}

// --- the page --------------------------------------------------------------------------------------------------------

function show() {
  const [fn, line, t, reads, writes] = data.steps[at];
  const before = standing(at, fn), { lines, equations, name } = data.functions[fn];
  document.querySelectorAll("#code li.now").forEach((li) => { li.classList.remove("now"); li.removeAttribute("aria-current"); });
  const li = document.querySelector(`#code li[data-f="${fn}"][data-line="${line}"]`);
  li.classList.add("now");
  li.setAttribute("aria-current", "step");
  const frame = $("code");
  frame.scrollTop += li.getBoundingClientRect().top - frame.getBoundingClientRect().top - frame.clientHeight / 2;
  const when = t >= 0 ? `, t = ${t}` : "";
  $("said").textContent = `${name}${when}: ${equations[line] || lines[line].trim()}`;
  $("where").textContent = `${at + 1} of ${data.steps.length}${when}`;
  $("step").value = at;
  $("step").setAttribute("aria-valuetext", $("said").textContent);
  const after = writes.map((each) => card(...each));
  $("writes").replaceChildren(...after);
  const read = reads.filter((each) => before.has(each)).map((each) => card(...before.get(each).slice(0, 3)));
  $("reads").replaceChildren(...(read.length ? read : [document.createTextNode("nothing but its arguments")]));
  $("before").disabled = $("first").disabled = at === 0;
  $("next").disabled = $("last").disabled = at === data.steps.length - 1;
}

function go(step) {
  at = Math.max(0, Math.min(data.steps.length - 1, step));
  show();
}

function showInputs() {
  const cards = [];
  for (const [name, { shape, at }] of Object.entries(data.inputs)) {
    cards.push(card(name, shape, at));
    if (data.gradients[name]) cards.push(card(`d${name}`, data.gradients[name].shape, data.gradients[name].at));
  }
  $("inputs").replaceChildren(...cards);
}

function listing() {
  data.functions.forEach(({ name, lines, equations, ran }, f) => {
    const head = document.createElement("h2"), list = document.createElement("ol");
    head.textContent = name;
    lines.forEach((text, line) => {
      const li = document.createElement("li");
      li.dataset.f = f;
      li.dataset.line = line;
      li.textContent = text || " ";
      if (!ran.includes(line)) li.classList.add("idle");
      if (equations[line]) {
        const equation = document.createElement("span");
        equation.className = "equation";
        equation.textContent = equations[line];
        li.append(equation);
      }
      list.append(li);
    });
    $("code").append(head, list);
  });
}

function again() {
  values = play(edits);
  show();
  showInputs();
  if (data.states.length) plot();
}

// --- one number ------------------------------------------------------------------------------------------------------

let chosen = -1;

function point(cell) { $("number").textContent = told(cell.dataset.name, Number(cell.dataset.place)); }

function choose(cell) {
  const place = Number(cell.dataset.place);
  point(cell);
  if (!editable.has(place)) return;
  chosen = place;
  $("which").textContent = editable.get(place);
  $("value").value = long(values[place]);
  $("edit").hidden = false;
  $("value").focus();
  $("value").select();
}

function set(place, value) {
  if (!Number.isFinite(value)) return;
  if (value === original[place]) edits.delete(place);
  else edits.set(place, value);
  again();
  $("number").textContent = told(editable.get(place), place);
}

document.addEventListener("pointerover", (event) => { const cell = event.target.closest("td"); if (cell) point(cell); });
document.addEventListener("focusin", (event) => { const cell = event.target.closest("td"); if (cell) point(cell); });
document.addEventListener("click", (event) => { const cell = event.target.closest("td"); if (cell) choose(cell); });
$("edit").addEventListener("submit", (event) => { event.preventDefault(); set(chosen, $("value").valueAsNumber); });
$("reset").addEventListener("click", () => { edits.clear(); $("edit").hidden = true; again(); });

// --- keys ------------------------------------------------------------------------------------------------------------

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function move(cell, [down, right]) {
  const row = cell.parentElement, rows = [...cell.closest("table").rows], cells = [...row.querySelectorAll("td")];
  const target = rows[rows.indexOf(row) + down];
  const next = target && [...target.querySelectorAll("td")][cells.indexOf(cell) + right];
  if (next) { cell.tabIndex = -1; next.tabIndex = 0; next.focus(); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input")) return;
  const cell = event.target.closest("td");
  if (cell && MOVES[event.key]) move(cell, MOVES[event.key]);
  else if (cell && (event.key === "Enter" || event.key === " ")) choose(cell);
  else if (event.key === "ArrowRight") go(at + 1);
  else if (event.key === "ArrowLeft") go(at - 1);
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(data.steps.length - 1);
  else if (event.key === "b") go(data.forward);
  else return;
  event.preventDefault();
});
$("first").onclick = () => go(0);
$("before").onclick = () => go(at - 1);
$("next").onclick = () => go(at + 1);
$("last").onclick = () => go(data.steps.length - 1);
$("turn").onclick = () => go(data.forward);
$("step").max = data.steps.length - 1;
$("step").oninput = () => go(Number($("step").value));

// --- over time -------------------------------------------------------------------------------------------------------

/** The norms of ∂L/∂h_t when only the last state counts and the recurrent weights are multiplied by `factor`. */
function norms(factor) {
  const changed = new Map(edits), weight = data.inputs[data.weight];
  for (const place of weight.at) changed.set(place, factor * values[place]);
  const T = data.states.length, per = data.states[0].gradient.length, last = (T - 1) * per;
  data.dy.forEach((place, k) => { if (k < last || k >= last + per) changed.set(place, 0); });
  const v = play(changed);
  return data.states.map(({ t, gradient }) => [t, Math.hypot(...gradient.map((place) => v[place]))]);
}

function plot() {
  const factor = 10 ** Number($("scale").value), found = norms(factor);
  const logs = found.map(([, norm]) => Math.log10(Math.max(norm, 1e-12)));
  const top = Math.max(1, Math.ceil(Math.max(...logs))), bottom = Math.min(-2, Math.floor(Math.min(...logs)));
  const x = (k) => 50 + (560 * k) / Math.max(1, found.length - 1), y = (log) => 20 + (170 * (top - log)) / (top - bottom);
  let parts = "";
  for (let each = bottom; each <= top; each++)
    parts += `<line x1="50" x2="620" y1="${y(each)}" y2="${y(each)}"></line><text x="44" y="${y(each) + 4}" text-anchor="end">1e${each}</text>`;
  parts += `<path d="M${logs.map((log, k) => `${x(k)},${y(log)}`).join("L")}"></path>`;
  found.forEach(([t], k) => {
    parts += `<circle cx="${x(k)}" cy="${y(logs[k])}" r="4"></circle><text x="${x(k)}" y="212" text-anchor="middle">t=${t}</text>`;
  });
  $("plot").innerHTML = parts;
  $("factor").textContent = factor.toPrecision(2);
  const ends = [found[0][1], found[found.length - 1][1]], ratio = ends[0] / ends[1];
  const word = ratio < 0.1 ? "it vanishes" : ratio > 10 ? "it explodes" : "it is kept";
  $("norms").textContent = `From t = ${found[found.length - 1][0]} back to t = ${found[0][0]}: ${long(ends[1])} becomes ${long(ends[0])}; ${word}.`;
}

listing();
show();
showInputs();
$("made").textContent = `${data.command}; scratchlv ${data.version}. L = Σ dy · y, with the dy that backward is given.`;
if (data.states.length) {
  $("time").hidden = false;
  $("weight").textContent = data.weight;
  $("scale").oninput = plot;
  plot();
}
