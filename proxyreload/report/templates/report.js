"use strict";
// Colours of what is written and ruled in the figures, which the page's style cannot reach.
const dark = matchMedia("(prefers-color-scheme: dark)");
const INKS = {
  Axis: ["axis_label_text_color", "major_label_text_color"],
  Label: ["text_color"],
  LabelSet: ["text_color"],
};
const RULES = {Axis: ["axis_line_color", "major_tick_line_color"], Grid: ["grid_line_color"]};

function paint() {
  const light = printing || !dark.matches;
  const ink = light ? "#1b1f24" : "#e6e9ec", rule = light ? "#c4cad1" : "#454d55";
  for (const drawn of Bokeh.documents) {
    for (const model of drawn._all_models.values()) {
      for (const [table, colour] of [[INKS, ink], [RULES, rule]]) {
        for (const [kind, names] of Object.entries(table)) {
          if (!model.type.endsWith(kind)) continue;
          for (const name of names) if (name in model.properties) model[name] = colour;
        }
      }
    }
  }
}
dark.addEventListener("change", paint);

// On paper figures are pictures: a canvas is not drawn anew in time for another width and other colours.
let printing = false;
addEventListener("beforeprint", () => {
  printing = true;
  paint();
  for (const view of Bokeh.index) {
    const place = view.el.closest(".drawing"), picture = new Image();
    picture.className = "printed";
    picture.alt = "";
    picture.src = view.export("png", true).canvas.toDataURL();
    place.after(picture);
  }
});
addEventListener("afterprint", () => {
  printing = false;
  for (const picture of document.querySelectorAll(".printed")) picture.remove();
  paint();
});

function whenDrawn(run, range) {
  const choice = run.querySelector(".zoom"), told = run.querySelector(".span");
  const [first, last] = [range.start, range.end], least = range.min_interval;
  const show = (start, end) => {
    const span = Math.min(Math.max(end - start, least), last - first);
    const from = Math.min(Math.max(start, first), last - span);
    range.setv({start: from, end: from + span});
  };
  const say = () => { told.value = `${range.start.toFixed(3)} to ${range.end.toFixed(3)} s`; };
  range.change.connect(say);
  say();
  choice.addEventListener("change", () => {
    if (!choice.value) return show(first, last);
    const [begin, end] = choice.value.split(" ").map(Number);
    const around = Math.max((end - begin) / 2, 0.02 * (last - first), 0.05);
    show(begin - around, end + around);
  });
  const moves = {
    earlier: (span) => [range.start - span / 4, range.end - span / 4],
    later: (span) => [range.start + span / 4, range.end + span / 4],
    closer: (span) => [range.start + span / 4, range.end - span / 4],
    wider: (span) => [range.start - span / 2, range.end + span / 2],
  };
  for (const button of run.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => show(...moves[button.dataset.move](range.end - range.start)));
  }
}

function rangeOf(drawn) {
  for (const model of drawn._all_models.values()) if (model.name === "seconds") return model;
  return null;
}

async function draw(run) {
  if (run.dataset.drawn) return;
  run.dataset.drawn = "begun";
  const before = Bokeh.documents.length;
  window.drawings[run.dataset.run]();
  const places = [...run.querySelectorAll(".drawing")];
  const all = () => places.every((place) => place.querySelector(".bk-Figure"));
  await new Promise((resolve) => {
    const look = () => (all() ? resolve() : requestAnimationFrame(look));
    look();
  });
  for (const drawn of Bokeh.documents.slice(before)) {
    const range = rangeOf(drawn);
    if (range) whenDrawn(run, range);
  }
  paint();
  run.dataset.drawn = "yes";
  run.dispatchEvent(new Event("drawn"));
}

// The failures' table.
const SHOWN_FIRST = 200;

function listLosses(run) {
  const table = run.querySelector("table.losses");
  if (!table) return;
  const {names, rows} = JSON.parse(run.querySelector(".losses-data").textContent);
  const more = run.querySelector(".more"), body = table.tBodies[0];
  const fixed = (per) => (value) => (value === null ? "–" : (value / per).toFixed(3));
  const plain = (value) => (value === null ? "–" : String(value));
  const texts = [
    fixed(1e6), fixed(1e3), (value) => (value || "–"), plain, fixed(1e3), plain,
    ...names.map((texts) => (value) => texts[value] || "–"),
  ];
  let shown = SHOWN_FIRST;
  const list = () => {
    const lines = rows.slice(0, shown).map((row) => {
      const line = document.createElement("tr");
      row.forEach((value, column) => {
        const cell = line.insertCell();
        cell.textContent = texts[column](value);
        if (column < 6) cell.className = "number";
      });
      return line;
    });
    body.replaceChildren(...lines);
    more.hidden = rows.length <= shown;
    more.textContent = `Show all ${rows.length.toLocaleString("en")}`;
  };
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => (column < 6 ? row[column] ?? -Infinity : texts[column](row[column]));
    rows.sort((one, two) => (key(one) < key(two) ? -1 : key(one) > key(two) ? 1 : 0) * (up ? 1 : -1));
    list();
  }));
  more.addEventListener("click", () => { shown = rows.length; list(); });
  list();
}

const runs = [...document.querySelectorAll(".run")];
runs.forEach(listLosses);
for (const run of runs) {
  if (run.tagName !== "DETAILS") { draw(run); continue; }
  if (run.open) draw(run);
  run.addEventListener("toggle", () => { if (run.open) draw(run); });
}
// A link to a run opens it.
const follow = () => {
  const run = location.hash && document.getElementById(location.hash.slice(1));
  if (run && run.tagName === "DETAILS") run.open = true;
};
addEventListener("hashchange", follow);
follow();
