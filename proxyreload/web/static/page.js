"use strict";
// Everything on this page is set as text, never as markup: much of it was said by a proxy.
const SVG = "http://www.w3.org/2000/svg";
const KEPT_S = 600;
const find = (selector) => document.querySelector(selector);
const whole = (number) => (number === null || number === undefined ? "–" : number.toLocaleString("en"));
const fixed = (number, digits) => (number === null || number === undefined ? "–" : number.toFixed(digits));
const after_ms = (us, since_us) => (us === null ? "–" : fixed((us - since_us) / 1000, 1));

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function fill(table, rows, numbers) {
  table.tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = element("tr");
    cells.forEach((cell, column) => {
      const made = element("td", cell instanceof Node ? undefined : cell, numbers.has(column) ? "number" : "");
      if (cell instanceof Node) made.append(cell);
      row.append(made);
    });
    return row;
  }));
}

// What is known of the run.

const nothing = () => ({
  slices: [], segments: new Map(), ends: [], losses: [], changes: new Map(), classes: [], back: new Map(), lanes: new Map(),
  curves: [],
});
const seen = {state: null, ...nothing()};

function forget() { Object.assign(seen, nothing()); }

// A connection to a backend keeps its lane, one of its backend's that nothing else is drawn in.
function place([number, backend, _port, first_s, last_s]) {
  if (!seen.lanes.has(backend)) seen.lanes.set(backend, []);
  const lanes = seen.lanes.get(backend);
  let lane = lanes.findIndex((holder) => holder.number === number);
  if (lane < 0) lane = lanes.findIndex((holder) => holder.last_s !== null && holder.last_s < first_s);
  if (lane < 0) lane = lanes.length;
  lanes[lane] = {number, last_s};
  return lane;
}

// What is aimed at the closing of connections stands apart.
const classOf = (loss) => (loss.aimed ? `${loss.failure} (aimed)` : loss.failure);

function note(slice) {
  for (const each of slice.segments ?? []) seen.segments.set(each[0], each);
  for (const each of slice.back ?? []) seen.back.set(each[0], {each, lane: place(each)});
  seen.ends.push(...(slice.ends ?? []));
  seen.losses.push(...(slice.losses ?? []));
  for (const each of slice.losses ?? []) if (!seen.classes.includes(classOf(each))) seen.classes.push(classOf(each));
  for (const each of slice.changes ?? []) {
    const known = seen.changes.get(each.number) ?? {number: each.number, name: each.name, from: each.at_s, to: null};
    if (each.phase !== "requested") known.to = each.at_s;
    seen.changes.set(each.number, known);
  }
}

// What is older than the longest window is forgotten: the page may stay open for days.
function trim() {
  const now = seen.slices.length ? seen.slices[seen.slices.length - 1].at_s : 0, oldest = now - KEPT_S;
  while (seen.slices.length && seen.slices[0].at_s < oldest) seen.slices.shift();
  for (const [number, each] of seen.segments) if (each[6] !== null && each[6] < oldest) seen.segments.delete(number);
  while (seen.segments.size > 4000) seen.segments.delete(seen.segments.keys().next().value);
  for (const [number, {each}] of seen.back) if (each[4] !== null && each[4] < oldest) seen.back.delete(number);
  while (seen.back.size > 1000) seen.back.delete(seen.back.keys().next().value);
  if (seen.lanes.size > 100) {
    const backends = new Set([...seen.back.values()].map(({each}) => each[1]));
    for (const backend of [...seen.lanes.keys()]) if (!backends.has(backend)) seen.lanes.delete(backend);
  }
  while (seen.ends.length > 2000 || (seen.ends.length && seen.ends[0][1] < oldest)) seen.ends.shift();
  while (seen.losses.length > 1000 || (seen.losses.length && seen.losses[0].at_s < oldest)) seen.losses.shift();
  while (seen.changes.size > 500) seen.changes.delete(seen.changes.keys().next().value);
}

// Figures and tables.

function show(name, text) { find(`[data-figure="${name}"]`).textContent = text; }

function showCounts([exchanges, success, failure, front, back]) {
  show("exchanges", whole(exchanges));
  show("success", whole(success));
  show("failure", whole(failure));
  show("front_changed", whole(front));
  show("back_changed", whole(back));
  find("#failure").className = failure ? "lost" : "";
}

function showSlice(slice, before) {
  showCounts(slice.counts);
  show("elapsed_s", fixed(slice.at_s, 1));
  show("back_connections", whole(slice.back_connections));
  const span_s = slice.at_s - (before ? before.at_s : 0);
  const requests = slice.counts[0] - (before ? before.counts[0] : 0);
  show("rate", span_s > 0 ? whole(Math.round(requests / span_s)) : "–");
  show("p99", slice.p99_us === null ? "–" : fixed(slice.p99_us / 1000, 2));
}

function button(text, action, backend) {
  const made = element("button", text);
  made.type = "button";
  made.dataset.action = action;
  made.dataset.backend = backend;
  return made;
}

function showButtons(state) {
  const running = state.state === "running";
  find("#start").disabled = state.state !== "idle";
  find("#stop").disabled = state.state === "idle";
  const place = find("#backends");
  if (place.childElementCount !== state.backends.length) {
    place.replaceChildren(...state.backends.map(({backend}) => button("", "", backend)));
  }
  state.backends.forEach(({backend, behind}, index) => {
    const made = place.children[index], action = behind ? "remove" : "add";
    made.textContent = `${behind ? "Remove" : "Add"} backend ${backend}`;
    made.dataset.action = action;
    made.disabled = !running || changing || state.cannot[action] !== "";
    made.title = state.cannot[action];
  });
  for (const made of [find("#reload"), find("#upgrade"), find("#rotate"), find("#edit")]) {
    const why = state.cannot[made.dataset.action];
    made.disabled = !running || changing || why !== "";
    made.title = why;
  }
  const rate = find("#rate");
  // What somebody has entered stays until it is set.
  if (rate.dataset.set !== String(state.rate)) rate.value = state.rate ?? "";
  rate.dataset.set = String(state.rate);
  find("#token-form").hidden = !state.needs_token || Boolean(token());
}

function verdictOf(change, over) {
  if (change.applied_us === null && change.error === null) return over ? change.verdict : "under way";
  return change.verdict === "ineffective" && !over && change.error === null ? "not seen yet" : change.verdict;
}

function showState(state) {
  seen.state = state;
  const over = state.state === "idle";
  document.title = `${state.title}: ${state.state}`;
  find("#title").textContent = state.title;
  find("#state").textContent = state.state;
  const verdict = find("#verdict");
  verdict.hidden = state.verdict === null;
  verdict.textContent = state.verdict ?? "";
  verdict.className = `verdict ${state.verdict ?? ""}`;
  const load = state.rate === null ? "as fast as answers come" : `${whole(state.rate)} requests/s`;
  const about = [state.proxy_version, state.scenario, state.traffic, load, over ? "" : state.ahead];
  find("#about").textContent = about.filter(Boolean).join(" · ");
  const why = [state.error, ...state.reasons, ...state.notes].filter(Boolean).join("; ");
  find("#why").textContent = why;
  find("#why").hidden = why === "";
  showButtons(state);
  const {exchanges, success, failure, front_changed, back_changed} = state.counts;
  showCounts([exchanges, success, failure, front_changed, back_changed]);
  show("elapsed_s", fixed(state.elapsed_s, 1));
  const failures = Object.entries(state.failures).sort((one, other) => other[1] - one[1]);
  find("#classes").textContent = failures.map(([name, number]) => `${whole(number)} ${name}`).join(", ") || "none";
  fill(find("#changes"), state.changes.slice().reverse().map((change) => {
    const word = verdictOf(change, over);
    const name = `${change.number}: ${change.action}${change.instance ? ` backend ${change.instance}` : ""}`;
    const aimed = Object.values(change.kinds).reduce((sum, kind) => sum + (kind.aimed ? lost(kind) : 0), 0);
    const reasons = word === change.verdict ? [change.error, ...change.reasons] : [];
    return [
      name, element("span", word, `verdict ${word}`), fixed(change.requested_us / 1e6, 3),
      after_ms(change.applied_us, change.requested_us), after_ms(change.effective_us, change.requested_us),
      whole(change.exchanges), whole(lost(change) - aimed), whole(aimed), reasons.filter(Boolean).join("; "),
    ];
  }), new Set([2, 3, 4, 5, 6, 7]));
  showKinds(state);
}

const lost = ({failures}) => Object.values(failures).reduce((sum, number) => sum + number, 0);

// Where there is more than the clients that are asked for by number, and the probe.
function showKinds({kinds}) {
  const told = Object.entries(kinds);
  find("#kinds-part").hidden = told.every(([name]) => name === "get" || name === "fresh");
  fill(find("#kinds"), told.map(([name, kind]) => [
    kind.aimed ? `${name} (for proof)` : name, element("span", kind.verdict, `verdict ${kind.verdict}`),
    whole(kind.exchanges), whole(lost(kind)), kind.reasons.join("; "),
  ]), new Set([2, 3]));
}

function showLosses() {
  fill(find("#losses"), seen.losses.slice(-20).reverse().map((each) => [
    fixed(each.at_s, 6), String(each.client), each.kind, String(each.front_port || "–"),
    each.message ? `${each.failure}: ${each.message}` : each.failure, each.backend || "–",
  ]), new Set([0, 1, 3]));
}

async function listRuns() {
  const {runs} = await (await fetch("api/runs")).json();
  fill(find("#runs"), runs.map((run) => {
    const links = element("span");
    for (const file of run.files) {
      const link = element("a", file);
      link.href = `runs/${encodeURIComponent(run.name)}/${file}`;
      links.append(link, " ");
    }
    const verdict = run.verdict === null ? "–" : element("span", run.verdict, `verdict ${run.verdict}`);
    return [run.name, `${run.title}, ${run.scenario}`, verdict, whole(run.exchanges), whole(run.failure), links];
  }), new Set([3, 4]));
}

// Asking for something.

let changing = false;

const token = () => sessionStorage.getItem("token");

function keepToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
}

function say(text, bad) {
  find("#said").textContent = text;
  find("#said").className = bad ? "bad" : "";
}

async function ask(path, body) {
  const headers = {"Content-Type": "application/json"};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  try {
    const answer = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)});
    const told = await answer.json();
    if (answer.ok) return told;
    if (answer.status === 401) {
      sessionStorage.removeItem("token");
      find("#token-form").hidden = false;
    }
    say(told.error, true);
  } catch (error) {
    say(`not done: ${error.message}`, true);
  }
  return null;
}

async function change(made) {
  const {action, backend} = made.dataset;
  const name = backend === undefined ? action : `${action} backend ${backend}`;
  changing = true;
  if (seen.state) showButtons(seen.state);
  say(`${name} …`);
  const told = await ask("api/changes", backend === undefined ? {action} : {action, backend: Number(backend)});
  changing = false;
  if (told) {
    const failed = told.phase === "failed";
    say(`change ${told.number}, ${name}: ${told.phase}${failed ? `: ${told.message}` : ""}`, failed);
  }
  if (seen.state) showButtons(seen.state);
}

async function load(body, what) {
  // What came of it is told by the events: the answer may come after them, and be out of date.
  if (await ask("api/load", body)) say(what);
}

function listen() {
  document.addEventListener("click", (event) => {
    const made = event.target.closest("button[data-action]");
    if (made) change(made);
  });
  find("#start").addEventListener("click", () => load({running: true}, "started"));
  find("#stop").addEventListener("click", () => load({running: false}, "it ends in order"));
  find("#closed-loop").addEventListener("click", () => load({rate: null}, "each client sends as soon as it has its answer"));
  find("#rate-form").addEventListener("submit", (event) => {
    event.preventDefault();
    load({rate: find("#rate").valueAsNumber}, `${find("#rate").value} requests/s`);
  });
  find("#token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", find("#token").value);
    find("#token").value = "";
    find("#token-form").hidden = true;
    say("");
  });
  find("#hold").addEventListener("click", () => {
    const held = find("#hold").getAttribute("aria-pressed") !== "true";
    find("#hold").setAttribute("aria-pressed", String(held));
    draw();
    drawTail();
  });
  find("#window").addEventListener("change", () => draw());
}

// The pictures.

let pictures = null, models = null, waiting = false;

function swatch(key) {
  const svg = document.createElementNS(SVG, "svg");
  const add = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    svg.append(made);
  };
  for (const [name, value] of [["width", 26], ["height", 14], ["viewBox", "0 0 26 14"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  const stroke = {stroke: key.colour, "stroke-width": 2.5, fill: "none"};
  const dashes = {solid: "none", dashed: "6", dotted: "2 4", dashdot: "2 4 6 4"};
  const shapes = {
    x: "M8 2 18 12M18 2 8 12", circle: "M8 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", square: "M8.5 2.5h9v9h-9z",
    diamond: "M13 1l5 6-5 6-5-6z", triangle: "M13 2l5.5 10h-11z", inverted_triangle: "M13 12l5.5-10h-11z",
    asterisk: "M8 2 18 12M18 2 8 12M13 0v14M6 7h14",
  };
  if (key.dash) add("path", {...stroke, d: "M0 7H26", "stroke-dasharray": dashes[key.dash]});
  else if (key.shape) add("path", {...stroke, d: shapes[key.shape]});
  else {
    add("rect", {x: 3, width: 20, height: 14, fill: key.colour});
    if (key.hatch !== " ") add("path", {d: "M3 14 17 0M9 14 23 0M3 8 11 0M15 14 23 6", stroke: "#000", "stroke-opacity": 0.5});
  }
  return svg;
}

function listKeys(list, keys) {
  list.replaceChildren(...keys.map((key) => {
    const item = element("li");
    item.append(swatch(key), key.label);
    return item;
  }));
}

function showKeys() {
  for (const list of document.querySelectorAll("[data-keys]")) listKeys(list, pictures.keys[list.dataset.keys]);
}

const dark = matchMedia("(prefers-color-scheme: dark)");

// Colours of what is written and ruled in the figures, which the page's style cannot reach.
function paint() {
  const ink = dark.matches ? "#e6e9ec" : "#1b1f24", rule = dark.matches ? "#454d55" : "#c4cad1";
  const paints = [
    ["Axis", {axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: rule, major_tick_line_color: rule}],
    ["Grid", {grid_line_color: rule}],
    ["LabelSet", {text_color: ink}],
  ];
  for (const model of Bokeh.documents.flatMap((drawn) => [...drawn._all_models.values()])) {
    for (const [kind, colours] of paints) if (model.type.endsWith(kind)) model.setv(colours);
  }
}

function rateColumns(slices) {
  const columns = {x: [], right: [], total: []};
  const names = pictures.backends, last = names.length - 1;
  for (let index = 0; index <= names.length; index++) columns[`to${index}`] = [];
  for (let index = 0; index < names.length; index++) columns[`rate${index}`] = [];
  for (const name of ["p50", "p99", "max"]) columns[name] = [];
  const add = (slice, begin, end) => {
    const span_s = Math.max(slice.at_s - slice.from_s, 0.001), rates = names.map(() => 0);
    for (const [name, answers] of Object.entries(slice.answers)) {
      const index = names.indexOf(name);
      rates[index < 0 ? last : index] += answers / span_s;
    }
    let height = 0;
    columns.x.push(begin);
    columns.right.push(end);
    columns.to0.push(0);
    rates.forEach((rate, index) => {
      height += rate;
      columns[`rate${index}`].push(rate);
      columns[`to${index + 1}`].push(height);
    });
    columns.total.push(height);
    for (const name of ["p50", "p99", "max"]) columns[name].push(slice[`${name}_us`] === null ? NaN : slice[`${name}_us`] / 1000);
  };
  // Bokeh never comes back from an area without a point; the last step is told twice, for its end to be drawn.
  const empty = {from_s: 0, at_s: 0, answers: {}, p50_us: null, p99_us: null, max_us: null};
  const drawn = slices.length ? slices : [empty];
  for (const slice of drawn) add(slice, slice.from_s, slice.at_s);
  const end = drawn[drawn.length - 1];
  add(end, end.at_s, end.at_s);
  return columns;
}

function drawRates(slices) {
  const columns = rateColumns(slices);
  const {p50, p99, max, x, right} = columns;
  models.slices.data = columns;
  models.latencies.data = {x, right, p50, p99, max};
  models.rates.end = 1.25 * Math.max(1, ...columns.total);
  const finite = [...p50, ...max].filter((value) => value > 0);
  if (finite.length) models.latency.setv({start: Math.min(...finite) / 1.5, end: Math.max(...finite) * 1.5});
}

function drawLosses(from) {
  const rows = pictures.marks.length, shown = seen.losses.filter((each) => each.at_s >= from);
  const place = (failure) => Math.min(seen.classes.indexOf(failure), rows - 1);
  const column = (value) => shown.map(value);
  models.losses.data = {
    x: column((each) => each.at_s), y: column((each) => place(classOf(each)) + 0.15),
    client: column((each) => each.client), kind: column((each) => each.kind), failure: column((each) => each.failure),
    message: column((each) => each.message), backend: column((each) => each.backend || "–"),
    port: column((each) => each.front_port || "–"),
    shape: column((each) => pictures.marks[place(classOf(each))].shape),
    colour: column((each) => pictures.marks[place(classOf(each))].colour),
  };
  const words = seen.classes.slice(0, rows);
  if (seen.classes.length > rows) words[rows - 1] = "others";
  models.classes.data = {y: words.map((_word, index) => index - 0.25), text: words};
}

const look = (backend) => pictures.fills[backend] ?? pictures.fills[pictures.backends[pictures.backends.length - 1]];

function drawStrips(from, now) {
  const shown = [...seen.segments.values()].filter((each) => each[1] in pictures.strips && (each[6] ?? now) >= from);
  // Where several backends answered, each has a lane.
  const lanes = shown.flatMap((each) => {
    const names = each[4].length ? each[4] : [""], height = 0.8 / names.length;
    return names.map((name, index) => ({each, name, top: pictures.strips[each[1]] - 0.4 + index * height, height, alone: names.length === 1}));
  });
  const column = (value) => lanes.map(value);
  models.segments.data = {
    left: column(({each}) => each[5]), right: column(({each}) => each[6] ?? now),
    top: column(({top}) => top), bottom: column(({top, height}) => top + height),
    client: column(({each}) => each[1]), number: column(({each}) => each[2]), port: column(({each}) => each[3]),
    label: column(({each}) => each[4].join(", ") || "nobody yet"), colour: column(({name}) => look(name).colour),
    hatch: column(({name}) => look(name).hatch), line: column(({name, alone}) => (alone ? "#ffffff" : look(name).colour)),
  };
  const ends = seen.ends.filter((each) => each[1] >= from && each[0] in pictures.strips && each[2] in pictures.ends);
  models.ends.data = {
    x: ends.map((each) => each[1]), y: ends.map((each) => pictures.strips[each[0]]),
    shape: ends.map((each) => pictures.ends[each[2]].shape), colour: ends.map((each) => pictures.ends[each[2]].colour),
  };
}

// The lanes that are used in this window, backend by backend, one left free between two.
function backLanes(shown) {
  const used = new Map();
  for (const {each, lane} of shown) {
    if (!used.has(each[1])) used.set(each[1], new Set());
    used.get(each[1]).add(lane);
  }
  const places = new Map(), labels = new Map();
  let next = 0;
  for (const backend of [...used.keys()].sort((one, other) => one.length - other.length || (one < other ? -1 : 1))) {
    const begins = next;
    for (const lane of [...used.get(backend)].sort((one, other) => one - other)) {
      if (next < pictures.lanes.most) places.set(`${lane} ${backend}`, next++);
    }
    if (next > begins) labels.set((begins + next - 1) / 2, backend);
    next++;
  }
  return {places, labels, height: Math.max(next, 8)};
}

function drawBack(from, now) {
  const inside = [...seen.back.values()].filter(({each}) => (each[4] ?? now) >= from);
  const {places, labels, height} = backLanes(inside);
  const y = ({each, lane}) => places.get(`${lane} ${each[1]}`);
  const shown = inside.filter((known) => y(known) !== undefined), changed = shown.filter(({each}) => each[5]);
  const column = (value) => shown.map(value);
  models.back_blocks.data = {
    left: column(({each}) => each[3]), right: column(({each}) => each[4] ?? now),
    top: column((known) => y(known) - 0.35), bottom: column((known) => y(known) + 0.35),
    port: column(({each}) => each[2]), instance: column(({each}) => each[1]),
    colour: column(({each}) => look(each[1]).colour), hatch: column(({each}) => look(each[1]).hatch),
  };
  models.back_changed.data = {x: changed.map(({each}) => each[3]), y: changed.map(y)};
  if (models.lanes.start !== height) {
    models.lanes.start = height;
    models.back.height = pictures.lanes.around + Math.max(60, pictures.lanes.height * height);
  }
  if (JSON.stringify([...labels]) !== JSON.stringify([...models.lane_axis.major_label_overrides])) {
    models.lane_ticks.ticks = [...labels.keys()];
    models.lane_axis.major_label_overrides = labels;
  }
  const left = inside.length - shown.length;
  show("back_left_out", left ? `, ${whole(left)} of the latest are not drawn` : "");
}

// HdrHistogram's axis: of how many requests one took longer; the last point is the longest of all.
function pointsOf(curve) {
  const one_in = (percentile) => 100 / (100 - percentile);
  return [...curve.percentiles.map(([percentile, us]) => [one_in(percentile), us]), [curve.count, curve.max_us]]
    .map(([x, us]) => ({x, y: Math.max(us, 1) / 1000}));
}

function drawTail() {
  if (!models || find("#hold").getAttribute("aria-pressed") === "true") return;
  const {colours, dashes} = pictures.curves, dashOf = (curve) => dashes[Math.max(0, curve.number - 1) % dashes.length];
  const points = seen.curves.map(pointsOf), all = points.flat();
  const each = (value) => seen.curves.flatMap((curve, index) => points[index].map((point) => value(point, curve)));
  models.curves.data = {
    xs: points.map((curve) => curve.map(({x}) => x)), ys: points.map((curve) => curve.map(({y}) => y)),
    colour: seen.curves.map(({kind}) => colours[kind]), dash: seen.curves.map(dashOf),
  };
  models.curve_points.data = {
    x: each(({x}) => x), y: each(({y}) => y), name: each((_point, {name}) => name),
    percentile: each(({x}) => `${Number((100 * (1 - 1 / x)).toPrecision(8))} %`),
    colour: each((_point, {kind}) => colours[kind]), alpha: each((_point, {kind}) => (kind === "baseline" ? 1 : 0)),
  };
  if (all.length) {
    models.tail_range.end = 1.2 * Math.max(10, ...all.map(({x}) => x));
    models.tail_latency.setv({start: Math.min(...all.map(({y}) => y)) / 1.5, end: 1.5 * Math.max(...all.map(({y}) => y))});
  }
  const keys = seen.curves.map((curve) => ({label: curve.name, colour: colours[curve.kind], hatch: " ", shape: "", dash: dashOf(curve)}));
  const list = find("[data-keys=tail]"), names = seen.curves.map(({name}) => name).join();
  if (list.dataset.names !== names) listKeys(list, keys);
  list.dataset.names = names;
}

function drawChanges(from, now) {
  const shown = [...seen.changes.values()].filter((each) => (each.to ?? now) >= from);
  models.changes.data = {
    x: shown.map((each) => each.from), over: shown.map((each) => each.to ?? now),
    text: shown.map((each) => (shown.length > 20 ? "" : `${each.number}: ${each.name}`)),
    y: shown.map((_each, index) => models.rates.end * (0.99 - 0.09 * (index % 2))),
  };
}

// Drawn at most once a frame, and not at all while nobody looks.
function draw() {
  if (waiting || !models) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (find("#hold").getAttribute("aria-pressed") === "true") return;
    const newest = seen.slices[seen.slices.length - 1], now = newest ? newest.at_s : 0;
    const window_s = Number(find("#window").value), from = Math.max(0, now - window_s);
    drawRates(seen.slices.filter((slice) => slice.at_s >= from));
    drawLosses(from);
    drawStrips(from, now);
    drawBack(from, now);
    drawChanges(from, now);
    models.seconds.setv({start: from, end: Math.max(now, from + window_s)});
  });
}

async function embed() {
  pictures = await (await fetch("api/pictures")).json();
  for (const [model, name] of Object.entries(pictures.item.roots)) pictures.item.roots[model] = `${name}-drawing`;
  await Bokeh.embed.embed_items(pictures.documents, [pictures.item]);
  const named = {};
  for (const drawn of Bokeh.documents) for (const model of drawn._all_models.values()) if (model.name) named[model.name] = model;
  models = named;
  paint();
  dark.addEventListener("change", paint);
  showKeys();
  drawTail();
  draw();
}

// What happens.

function push(slice) {
  const before = seen.slices[seen.slices.length - 1];
  slice.from_s = before ? before.at_s : 0;
  seen.slices.push(slice);
  note(slice);
  return before;
}

function follow() {
  const events = new EventSource("api/events");
  events.addEventListener("state", ({data}) => {
    const state = JSON.parse(data), before = seen.state;
    if (before && before.run !== state.run) forget();
    showState(state);
    if (!before || before.run !== state.run || before.state !== state.state) listRuns();
  });
  events.addEventListener("history", ({data}) => {
    const {slices, ...rest} = JSON.parse(data);
    forget();
    slices.forEach(push);
    note(rest);
    if (slices.length) show("back_connections", whole(slices[slices.length - 1].back_connections));
    showLosses();
    draw();
  });
  events.addEventListener("slice", ({data}) => {
    const slice = JSON.parse(data), before = push(slice);
    trim();
    showSlice(slice, before);
    if (slice.losses) showLosses();
    draw();
  });
  events.addEventListener("tail", ({data}) => {
    seen.curves = JSON.parse(data).curves;
    drawTail();
  });
  events.addEventListener("error", async () => {
    find("#state").textContent = "not connected";
    if (events.readyState !== EventSource.CLOSED) return;
    // One that was started anew asks for the token again.
    if ((await fetch("api/state")).status === 401) location.reload();
  });
}

keepToken();
listen();
follow();
embed();
