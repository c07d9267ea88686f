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

const seen = {state: null, slices: [], segments: new Map(), ends: [], losses: [], changes: new Map(), classes: []};

function forget() {
  Object.assign(seen, {slices: [], segments: new Map(), ends: [], losses: [], changes: new Map(), classes: []});
}

function note(slice) {
  for (const each of slice.segments ?? []) seen.segments.set(each[0], each);
  seen.ends.push(...(slice.ends ?? []));
  seen.losses.push(...(slice.losses ?? []));
  for (const each of slice.losses ?? []) if (!seen.classes.includes(each.failure)) seen.classes.push(each.failure);
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
  for (const made of [find("#reload"), find("#upgrade")]) {
    const why = state.cannot[made.dataset.action];
    made.disabled = !running || changing || why !== "";
    made.title = why;
  }
  const rate = find("#rate");
  if (document.activeElement !== rate) rate.value = state.rate ?? "";
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
  const about = [state.proxy_version, state.scenario, `${state.clients} clients`, load, over ? "" : state.ahead];
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
    const lost = Object.values(change.failures).reduce((sum, number) => sum + number, 0);
    const reasons = word === change.verdict ? [change.error, ...change.reasons] : [];
    return [
      name, element("span", word, `verdict ${word}`), fixed(change.requested_us / 1e6, 3),
      after_ms(change.applied_us, change.requested_us), after_ms(change.effective_us, change.requested_us),
      whole(change.exchanges), whole(lost), reasons.filter(Boolean).join("; "),
    ];
  }), new Set([2, 3, 4, 5, 6]));
}

function showLosses() {
  fill(find("#losses"), seen.losses.slice(-20).reverse().map((each) => [
    fixed(each.at_s, 6), String(each.client), String(each.front_port || "–"),
    each.message ? `${each.failure}: ${each.message}` : each.failure, each.backend || "–",
  ]), new Set([0, 1, 2]));
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
  const told = await ask("api/load", body);
  if (told) {
    say(what);
    showState(told);
  }
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
    diamond: "M13 1l5 6-5 6-5-6z",
  };
  if (key.dash) add("path", {...stroke, d: "M0 7H26", "stroke-dasharray": dashes[key.dash]});
  else if (key.shape) add("path", {...stroke, d: shapes[key.shape]});
  else {
    add("rect", {x: 3, width: 20, height: 14, fill: key.colour});
    if (key.hatch !== " ") add("path", {d: "M3 14 17 0M9 14 23 0M3 8 11 0M15 14 23 6", stroke: "#000", "stroke-opacity": 0.5});
  }
  return svg;
}

function showKeys() {
  for (const list of document.querySelectorAll("[data-keys]")) {
    list.replaceChildren(...pictures.keys[list.dataset.keys].map((key) => {
      const item = element("li");
      item.append(swatch(key), key.label);
      return item;
    }));
  }
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
  const nothing = {from_s: 0, at_s: 0, answers: {}, p50_us: null, p99_us: null, max_us: null};
  const drawn = slices.length ? slices : [nothing];
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
    x: column((each) => each.at_s), y: column((each) => place(each.failure) + 0.15),
    client: column((each) => each.client), failure: column((each) => each.failure),
    message: column((each) => each.message), backend: column((each) => each.backend || "–"),
    port: column((each) => each.front_port || "–"),
    shape: column((each) => pictures.marks[place(each.failure)].shape),
    colour: column((each) => pictures.marks[place(each.failure)].colour),
  };
  const words = seen.classes.slice(0, rows);
  if (seen.classes.length > rows) words[rows - 1] = "others";
  models.classes.data = {y: words.map((_word, index) => index - 0.25), text: words};
}

function drawStrips(from, now) {
  const shown = [...seen.segments.values()].filter((each) => each[1] < pictures.strips && (each[6] ?? now) >= from);
  const column = (value) => shown.map(value);
  const look = (label) => pictures.fills[label] ?? pictures.fills[pictures.backends[pictures.backends.length - 1]];
  models.segments.data = {
    left: column((each) => each[5]), right: column((each) => each[6] ?? now),
    top: column((each) => each[1] - 0.4), bottom: column((each) => each[1] + 0.4),
    client: column((each) => each[1]), number: column((each) => each[2]), port: column((each) => each[3]),
    label: column((each) => each[4] || "nobody yet"), colour: column((each) => look(each[4]).colour),
    hatch: column((each) => look(each[4]).hatch),
  };
  const ends = seen.ends.filter((each) => each[1] >= from && each[0] < pictures.strips && each[2] in pictures.ends);
  models.ends.data = {
    x: ends.map((each) => each[1]), y: ends.map((each) => each[0]),
    shape: ends.map((each) => pictures.ends[each[2]].shape), colour: ends.map((each) => pictures.ends[each[2]].colour),
  };
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
  events.addEventListener("error", () => { find("#state").textContent = "not connected"; });
}

keepToken();
listen();
follow();
embed();
