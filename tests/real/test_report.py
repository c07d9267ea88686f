"""The report of a real run, in a real browser."""

import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from proxyreload.record.csvfile import COLUMNS

from .browser import BROWSER, Browser, browser
from .command import PROXYRELOAD, Place, Result

pytestmark = [pytest.mark.real, BROWSER]

S = 1_000_000
LAST_US = 3_900_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def report(run: Path, folder: Path) -> None:
    """Make a report."""
    subprocess.run([*PROXYRELOAD, "report", run], cwd=folder, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("report"))
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def job(place: Place) -> Result:
    job = place.run("--plugin", "nginx", "--duration", "4", "--log", "none", *place.ports)
    made = place.run("report", "run.json", "--output", "again.html")
    assert (made.status, made.stderr) == (0, "")
    return job


@pytest.fixture
def page(job: Result, shown: Browser) -> Browser:
    shown.complaints()
    shown.open(job.run.with_name("again.html"))
    return shown


def lost(time_us: int, client: int, failure: str, connection: int, carried: int) -> list[object]:
    """Return the row of a failed exchange."""
    sent_us = time_us - 100
    return [
        time_us,
        client,
        failure,
        "",
        40000,
        "",
        0,
        sent_us,
        sent_us,
        "",
        "",
        connection,
        carried,
        "",
        failure,
        "get",
    ]


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory, job: Result) -> Path:
    """Report the run as if somebody had added many failures to it, and hostile names."""
    folder = tmp_path_factory.mktemp("tampered")
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(job.table)
        writer.writerows(lost(3 * S + t * 10, t % 10, "timeout", 1000 + t, t) for t in range(500))
        writer.writerow(lost(LAST_US, 1, HOSTILE, 2000, 1))
        writer.writerow([LAST_US, 0, 200, HOSTILE, 40000, 50000, 0, LAST_US, LAST_US, LAST_US, "", 0, 0, "", "", "get"])
    content = job.run_json | {"plugin": HOSTILE, "mechanism": "it"}
    content["changes"] = [change | {"instance": HOSTILE, "error": HOSTILE} for change in job.changes]
    run = folder / "run.json"
    run.write_text(json.dumps(content), encoding="utf-8")
    report(run, folder)
    return folder / "report.html"


@pytest.fixture
def invented(tampered: Path, shown: Browser) -> Browser:
    shown.complaints()
    shown.open(tampered)
    return shown


@pytest.fixture
def dense(tmp_path: Path, job: Result, shown: Browser) -> Browser:
    """Report the run as if it had had ten answers each millisecond, which a busy machine does not make."""
    with (tmp_path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(job.table)
        for at in range(0, LAST_US, 100):
            writer.writerow([at, 0, 200, "0", 40000, 50000, 0, at, at, at, "", 0, 0, "", "", "get"])
    run = tmp_path / "run.json"
    run.write_text(json.dumps(job.run_json), encoding="utf-8")
    report(run, tmp_path)
    shown.complaints()
    shown.open(tmp_path / "report.html")
    return shown


def seconds(page: Browser) -> tuple[float, float]:
    """Return the range of time that the first run's figures show."""
    start, end = page.ask(
        "for (const drawn of Bokeh.documents) for (const model of drawn._all_models.values()) "
        "if (model.name === 'seconds') return [model.start, model.end]"
    )
    return start, end


def test_the_kinds_of_traffic_are_shown_apart(place: Place, shown: Browser) -> None:
    words = ("--traffic", "get=4,idle=30,aimed=40,stream=1", "--rtt", "20", "--duration", "6", "--log", "none")
    job = place.run("--plugin", "nginx:reload", *words, "--csv", "kinds.csv", "--run", "kinds.json", *place.ports)
    made = place.run("report", "kinds.json", "--output", "kinds.html")
    assert (made.status, made.stderr) == (0, "")
    shown.complaints()
    shown.open(place.folder / "kinds.html")
    run = json.loads((place.folder / "kinds.json").read_text(encoding="utf-8"))
    told, proof = run["summary"]["kinds"], run["summary"]["proof"]
    assert proof["failures"] > 0
    assert job.stdout.count(f"for proof, not in these figures: {proof['failures']} of ") == 1
    lines = {line[0].split()[0]: line for line in shown.table("table.kinds")}
    assert {kind: (line[3], line[4]) for kind, line in lines.items()} == {
        kind: (f"{each['exchanges']:,}", str(sum(each["failures"].values()))) for kind, each in told.items()
    }
    for change, cells in zip(run["changes"], shown.table("table.changes"), strict=True):
        aimed = sum(change["kinds"]["aimed"]["failures"].values())
        assert cells[7:9] == [str(sum(change["failures"].values()) - aimed), str(aimed)]
    titles = shown.ask("return [...document.querySelectorAll('figure[id^=front] h3')].map((head) => head.textContent)")
    assert [title.partition(":")[0].partition(",")[0] for title in titles] == [
        f"Connections of {kind}" for kind in ("get", "get", "idle", "aimed", "stream", "fresh")
    ]
    assert shown.ask("return document.querySelectorAll('.warning:not(noscript *)').length") == 0
    assert shown.complaints() == []


def test_figures_on_the_page_are_the_run_files(page: Browser, job: Result) -> None:
    for key in ("exchanges", "success", "failure", "front_changed", "back_changed"):
        assert page.text(f"[data-figure={key}]").replace(",", "") == str(job.summary[key])
    assert page.text("[data-figure=verdict]").removeprefix("✗ ").removeprefix("✓ ") == job.verdict
    if job.summary["failure"]:
        assert page.text("[data-figure=losses]") == str(job.summary["failure"])
        assert len(page.table("table.losses")) == min(200, job.summary["failure"])
    else:
        assert page.text("[data-figure=detection_limit]") == f"{job.summary['detection_limit']}."
    for told, cells in zip(job.changes, page.table("table.changes"), strict=True):
        applied, seen = (f"{(told[key] - told['requested_us']) / 1000:.1f}" for key in ("applied_us", "effective_us"))
        assert cells[0].startswith(f"{told['number']}: {told['action']} backend {told['instance']}")
        drain = told["drained"]
        drained = f"{(drain['at_us'] - told['requested_us']) / 1000:.1f}" if drain is not None else "\N{EN DASH}"
        assert cells[2:8] == [
            *(f"{told['requested_us'] / S:.3f}", applied, seen, drained),
            *(f"{told['exchanges']:,}", str(sum(told["failures"].values()))),
        ]
    latencies = {name: cells for name, *cells in page.table("table.latencies")}
    for name, latency in job.summary["latency"].items():
        figures = [f"{latency[key] / 1000:.3f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")]
        assert latencies[name] == [f"{latency['count']:,}", *figures]


def test_figures_that_are_drawn_are_the_rows(page: Browser, job: Result) -> None:
    answers = page.ask(
        """const model = Bokeh.documents[0].get_model_by_name("slices"), {x, right, total} = model.data;
        return total.reduce((sum, rate, at) => sum + rate * (right[at] - x[at]), 0)"""
    )
    assert round(answers) == pytest.approx(job.summary["success"], rel=1e-4)
    blocks = page.ask('return Bokeh.documents[0].get_model_by_name("connections").data.left.length')
    assert blocks == len({(row.client, row.connection) for row in job.rows if row.connection})


def test_there_is_nothing_to_complain_about_and_nothing_fetched(page: Browser) -> None:
    assert page.complaints() == []
    assert page.ask("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


def test_each_figure_says_in_words_what_it_shows(page: Browser) -> None:
    figures = page.ask(
        """return [...document.querySelectorAll("figure")].map((figure) => [
        document.getElementById(figure.getAttribute("aria-labelledby")).innerText,
        figure.querySelector("figcaption").innerText.length])"""
    )
    assert len(figures) >= 5
    assert all(title and length > 20 for title, length in figures)


def test_a_change_is_zoomed_in_on_by_keyboard(dense: Browser, job: Result) -> None:
    page = dense
    whole = seconds(page)
    choice = page.driver.find_element(By.CSS_SELECTOR, "select.zoom")
    choice.send_keys(Keys.ARROW_DOWN)
    start, end = seconds(page)
    requested, effective = (job.changes[0][key] / S for key in ("requested_us", "effective_us"))
    assert whole[0] <= start < requested < effective < end < start + (whole[1] - whole[0]) / 2
    slices = 'return Bokeh.documents[0].get_model_by_name("slices").data.x.length'
    finer = page.ask(slices)
    page.driver.find_element(By.CSS_SELECTOR, "[data-move=wider]").send_keys(Keys.ENTER)
    assert seconds(page)[1] - seconds(page)[0] == pytest.approx(2 * (end - start))
    choice.send_keys(Keys.ARROW_UP)
    assert seconds(page) == whole
    assert page.ask(slices) < finer


def test_failures_are_sorted_by_keyboard(invented: Browser) -> None:
    assert len(invented.table("table.losses")) == 200
    invented.driver.find_element(By.CSS_SELECTOR, ".more").send_keys(Keys.ENTER)
    losses = int(invented.text("[data-figure=losses]"))
    assert losses >= 501
    assert len(invented.table("table.losses")) == losses
    heading = invented.driver.find_element(By.CSS_SELECTOR, "table.losses th:nth-child(6) button")
    for order, reverse in (("ascending", False), ("descending", True)):
        heading.send_keys(Keys.ENTER)
        carried = [int(line[5]) for line in invented.table("table.losses")]
        assert carried == sorted(carried, reverse=reverse)
        marks = "return [...document.querySelectorAll('table.losses th')].map((head) => head.ariaSort)"
        assert invented.ask(marks) == [*[None] * 5, order, *[None] * 6]


def test_hovering_tells_the_exchange_behind_a_mark(invented: Browser) -> None:
    place: list[float] = invented.ask(
        """const index = Bokeh.index, all = index.roots ?? Object.values(index);
        const view = all.find((each) => each.el.closest("figure").id === "losses-1");
        view.el.scrollIntoView({block: "center"});
        const box = view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame;
        const {data} = view.model.renderers.map((each) => each.data_source).find(
            (source) => source.data.status?.includes(arguments[0]));
        return [x_scale.compute(data.x[0]) + box.left, y_scale.compute(data.y[0]) + box.top]""",
        HOSTILE,
    )
    actions = ActionChains(invented.driver)
    actions.w3c_actions.pointer_action.move_to_location(round(place[0]), round(place[1]))
    actions.perform()
    told: str = invented.ask(
        """const texts = [];
        const walk = (node) => {
          for (const child of node.children) {
            if (child.classList.contains("bk-Tooltip")) texts.push(child.shadowRoot.textContent);
            if (child.shadowRoot) walk(child.shadowRoot);
            walk(child);
          }
        };
        walk(document.body);
        return texts.join(" ")"""
    )
    assert HOSTILE in told
    assert "1 requests before" in told


def test_hostile_names_are_text(invented: Browser) -> None:
    assert invented.text("h1").startswith(f"{HOSTILE}:it")
    assert invented.ask("return document.querySelectorAll('main img').length") == 0
    assert invented.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark_on_a_phone(invented: Browser, scheme: str) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    invented.emulate("Emulation.setDeviceMetricsOverride", **size)
    invented.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        invented.driver.refresh()
        invented.drawn()
        assert invented.ask("return document.documentElement.scrollWidth") <= size["width"]
        ground = invented.ask("return getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
        ink = invented.ask(
            "return [...Bokeh.documents[0]._all_models.values()].find((m) => m.type === 'LinearAxis').major_label_text_color"
        )
        assert ink == {"light": "#1b1f24", "dark": "#e6e9ec"}[scheme]
    finally:
        invented.emulate("Emulation.clearDeviceMetricsOverride")
        invented.emulate("Emulation.setEmulatedMedia", features=[])


def test_it_is_printed_with_its_figures(invented: Browser) -> None:
    invented.ask(
        """addEventListener("beforeprint", () => { window.printed = [...document.querySelectorAll(".printed")]
        .map((picture) => picture.src.length) })"""
    )
    assert len(invented.emulate("Page.printToPDF")["data"]) > 10_000
    pictures: list[int] = invented.ask("return window.printed")
    assert len(pictures) == invented.ask("return document.querySelectorAll('figure').length")
    assert min(pictures) > 1000
    assert invented.ask("return document.querySelectorAll('.printed').length") == 0


def test_a_million_exchanges_make_a_page_that_is_no_larger(tmp_path: Path, job: Result, shown: Browser) -> None:
    exchanges = 1_000_000
    with (tmp_path / "data.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        for t in range(exchanges):
            client, at_us = t % 10, t * 30
            way = f"{client},200,{t % 3},{40000 + client},{50000 + client}"
            file.write(f"{at_us + 400},{way},{t // 10},{at_us},{at_us},{at_us + 350},,0,{t // 10},,,get\n")
    summary = job.summary | {"exchanges": exchanges, "success": exchanges, "failure": 0, "duration_us": 30 * S}
    run = tmp_path / "run.json"
    run.write_text(json.dumps(job.run_json | {"summary": summary}), encoding="utf-8")
    report(run, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    shown.open(tmp_path / "report.html")
    assert shown.text("[data-figure=exchanges]") == "1,000,000"
