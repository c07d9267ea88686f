"use strict";
// Everything stands on the page without this; it only finds and hides.
const RESULTS_AT_MOST = 12;
const fold = (text) => text.toLowerCase().replace(/[^a-z0-9/.]+/g, " ").trim();
// Words of a question that ask for nothing by themselves.
const IDLE = new Set(
  "a an and any are by can do does for from how i if in is it its me my no not of on or the there to what when which who why will with".split(" "),
);
// What somebody writes stands otherwise in the answers: WebSockets, reloading.
const stem = (word) => (word.length > 4 ? word.replace(/(ing|es|s)$/, "") : word);

const question = document.getElementById("question");
if (question) {
  const ask = document.getElementById("ask"), found = document.getElementById("found");
  const results = document.getElementById("results");
  const answers = [...document.querySelectorAll("#all-answers > .answer")].map((line, place) => ({
    line, place,
    rank: Number(line.dataset.rank),
    named: ` ${fold(line.dataset.search)}`,
    text: ` ${fold(`${line.dataset.search} ${line.textContent}`)}`,
  }));
  ask.hidden = false;
  const find = () => {
    const asked = [...new Set(fold(question.value).split(" "))].filter((word) => word && !IDLE.has(word));
    // Nor does a word that stands nowhere.
    const words = asked.map(stem).filter((word) => answers.some((each) => each.text.includes(` ${word}`)));
    const naming = (each) => words.filter((word) => each.named.includes(` ${word}`)).length;
    const holding = (each) => words.filter((word) => each.text.includes(` ${word}`)).length;
    // Those that are about what is asked for, if there are such; else those that mention it, as a cause or a cure.
    const about = Math.max(0, ...answers.map(naming)) === words.length ? naming : holding;
    const most = Math.max(0, ...answers.map(about));
    const hits = words.length ? answers.filter((each) => about(each) === most) : [];
    hits.sort((one, two) => naming(two) - naming(one) || one.rank - two.rank || one.place - two.place);
    results.replaceChildren(...hits.slice(0, RESULTS_AT_MOST).map((each) => {
      const copy = each.line.cloneNode(true);
      copy.removeAttribute("id");
      return copy;
    }));
    const more = hits.length > RESULTS_AT_MOST ? `, the first ${RESULTS_AT_MOST} of them here` : "";
    found.textContent = !asked.length ? "" : hits.length
      ? `${hits.length} ${hits.length === 1 ? "answer" : "answers"}${more}; Enter goes to the first`
      : "nothing found: name a proxy, a kind of traffic, a verdict or a cause";
  };
  question.addEventListener("input", find);
  ask.addEventListener("submit", (event) => {
    event.preventDefault();
    results.querySelector(".headline a")?.focus();
  });
  for (const example of ask.querySelectorAll("[data-ask]")) {
    example.addEventListener("click", () => {
      question.value = example.dataset.ask;
      question.focus();
      find();
    });
  }
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) return;
    event.preventDefault();
    question.focus();
  });
  question.value = new URLSearchParams(location.search).get("q") ?? question.value;
  find();
}

const filters = document.getElementById("filters");
if (filters) {
  const matrix = document.getElementById("matrix"), shown = document.getElementById("shown");
  const selects = [...filters.querySelectorAll("[data-filter]")];
  const rows = [...matrix.querySelectorAll("tbody tr")];
  filters.hidden = false;
  const sift = () => {
    const wanted = Object.fromEntries(selects.map((select) => [select.dataset.filter, select.value]));
    for (const place of matrix.querySelectorAll("[data-kind]")) {
      place.hidden = Boolean(wanted.kind) && place.dataset.kind !== wanted.kind;
    }
    for (const part of matrix.querySelectorAll(".part")) {
      part.hidden = Boolean(wanted.condition) && part.dataset.condition !== wanted.condition;
    }
    for (const row of rows) {
      const parts = [...row.querySelectorAll("td:not([hidden]) .part:not([hidden])")];
      row.hidden = Boolean(wanted.proxy) && row.dataset.proxy !== wanted.proxy
        || Boolean(wanted.verdict) && !parts.some((part) => part.dataset.verdict === wanted.verdict);
    }
    const left = rows.filter((row) => !row.hidden).length;
    shown.value = left === rows.length ? "" : `${left} of ${rows.length} mechanisms`;
  };
  filters.addEventListener("change", sift);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(sift));
  sift();
}
