"""Comparisons published as a static site."""

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proxyreload.comparison.table import as_json
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.site.evidence import Wanted
from proxyreload.site.publication import publish, published_schemas
from proxyreload.site.sitefolder import SiteFolder

from .conforming import wrong
from .editions import ADVICE, CONDITIONS, LOSING, QUIET, comparison, kind, row, write_comparison
from .exits import status_of
from .sitelinks import Page, dead_links, pages_of, tree
from .test_comparison import CANNOT, LOSSY, MISSING, SEAMLESS

ALL = Wanted()
HAPROXY = ("haproxy:reload", "2.8.25-5cf5d0683")
EARLIER = "2026-10-01T08:00:00+00:00"


@pytest.fixture(name="written")
def _written(tmp_path: Path) -> Path:
    return write_comparison(tmp_path / "today", comparison())


@pytest.fixture(name="earlier")
def _earlier(tmp_path: Path) -> Path:
    told = [row("haproxy:reload", "", LOSING, verdict="lossy", says="HAProxy version 2.4.30")]
    return write_comparison(tmp_path / "before", comparison(told, EARLIER, conditions=[]))


@pytest.fixture(name="site")
def _site(tmp_path: Path, written: Path) -> Path:
    publish(tmp_path / "site", [written], ALL)
    return tmp_path / "site"


def index(site: Path) -> Any:
    return json.loads((site / "index.json").read_text(encoding="utf-8"))


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_all_its_links_lead_somewhere_and_its_index_is_as_its_schema_says(site: Path, earlier: Path) -> None:
    publish(site, [earlier], ALL)
    assert dead_links(site) == []
    schema = json.loads(text(site / "schemas" / "site.schema.json"))
    Draft202012Validator.check_schema(schema)
    told = index(site)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(told)] == []
    assert sorted(told["schemas"]) == sorted(published_schemas())
    for place in [*told["schemas"], *(each["compare"] for each in told["editions"])]:
        assert json.loads(text(site / place))
    assert len(told["cells"]) == 21
    for cell in told["cells"]:
        page = Page.of(text(site / cell["address"]))
        for kind_told in cell["kinds"].values():
            assert kind_told["address"].partition("#")[2] in page.anchors


def test_a_cell_has_a_permanent_page_with_all_that_it_was_told_from(site: Path) -> None:
    cell = next(each for each in index(site)["cells"] if (each["mechanism"], each["version"]) == HAPROXY)
    assert cell["address"].startswith("cell/haproxy-reload/2.8.25-5cf5d0683/2026-11-28-")
    assert cell["address"].endswith("/near-leaving/index.html")
    assert (cell["kinds"]["websocket"]["verdict"], cell["kinds"]["websocket"]["failures"]) == ("lossy", 3)
    [run] = cell["runs"]
    assert all(run[key] for key in ("run", "rows", "losses", "report", "log"))
    assert [name.rpartition("configuration/")[2] for name in run["configuration"]] == [
        "haproxy.cfg.txt",
        "maps/routes.map.txt",
    ]
    assert gzip.decompress((site / run["rows"]).read_bytes()) == b"time,client,status\n1,0,200\n"
    page = text(site / cell["address"])
    for said in (
        "haproxy:reload loses WebSockets: 3 of 40",
        "proxyreload compare haproxy:reload --repeat 4",
        "mode http",
        "keep-alive race",
    ):
        assert said in page


def test_the_front_page_says_who_loses_what_and_what_helps(site: Path) -> None:
    front = text(site / "index.html")
    assert "haproxy:reload loses WebSockets: 6 of 80" in front
    assert "haproxy:runtime loses no WebSockets: none of 80" in front
    assert "haproxy:reload may lose requests of clients that rest" in front
    assert "haproxy:old" in front
    assert "haproxy:reload does not carry gRPC calls" in front
    answer = front[front.index("haproxy:reload loses WebSockets") :]
    answer = answer[: answer.index("</li>")]
    assert "Where removed backends are killed, as in a crash: 6 of 80 lost." in answer
    assert "as in haproxy:reload-redispatch</a>" in answer
    assert 'href="mechanism/haproxy-runtime.html#websocket">haproxy:runtime</a>: none lost' in answer


def test_a_cure_that_does_not_hold_for_a_kind_is_not_said_to(tmp_path: Path) -> None:
    killed = {**LOSING, "websocket": kind("lossy", 40, 4, causes={"backend gone": 4})}
    told = [
        row("haproxy:reload", "leaving", {**LOSING, "websocket": kind()}, verdict="lossy"),
        row("haproxy:reload", "killed", killed, verdict="lossy"),
        row("haproxy:reload-redispatch", "leaving"),
        row("haproxy:reload-redispatch", "killed", {**QUIET, "websocket": kind("lossy", 40, 2)}, verdict="lossy"),
        row("haproxy:reload-redispatch-more", "killed", {**QUIET, "websocket": kind("lossy", 40, 7)}, verdict="lossy"),
    ]
    publish(tmp_path / "site", [write_comparison(tmp_path / "c", comparison(told, conditions=[]))], ALL)
    page = text(tmp_path / "site" / "mechanism" / "haproxy-reload.html")
    answers = {part.partition('"')[0]: part.partition("</li>")[0] for part in page.split('<li class="answer" id="')[1:]}
    assert "haproxy:reload loses WebSockets: 4 of 80, only killed." in answers["websocket"]
    assert (
        "<strong>What cures it:</strong> stop a backend when the proxy has nothing more for it" in answers["websocket"]
    )
    assert "That is for all kinds of traffic: haproxy:reload-redispatch loses 2 of 40 killed." in answers["websocket"]
    assert "No other mechanism of this proxy here spares them" not in answers["websocket"]
    assert "That is for all kinds" not in answers["get"]
    assert "Spared with:" in answers["get"]


def test_what_a_killed_backend_takes_with_it_is_told_apart_and_decides_nothing(tmp_path: Path) -> None:
    killed = {**QUIET, "websocket": kind("lossy", 40, 4, causes={"backend gone": 3})}
    told = [
        row("haproxy:runtime", "near, leaving", verdict="seamless"),
        row("haproxy:runtime", "near, killed", killed, verdict="lossy"),
    ]
    publish(tmp_path / "site", [write_comparison(tmp_path / "c", comparison(told))], ALL)
    page = text(tmp_path / "site" / "mechanism" / "haproxy-runtime.html")
    assert "<title>haproxy:runtime: seamless</title>" in page
    assert "haproxy:runtime loses no WebSockets: none of 40" in page
    assert "as in a crash: 4 of 40 lost, 3 of them with the backend, as with any proxy." in page
    assert ADVICE not in page


def test_marks_of_verdicts_differ_in_shape(site: Path) -> None:
    front = text(site / "index.html")
    symbols = [part.partition("</symbol>")[0] for part in front.split("<symbol ")[1:]]
    shapes = [symbol[symbol.index("<path") :] for symbol in symbols]
    assert len(set(shapes)) == len(shapes) == 8


def test_a_mechanism_has_its_history_over_versions_and_dates(site: Path, earlier: Path) -> None:
    page = site / "mechanism" / "haproxy-reload.html"
    assert 'class="chart"' not in text(page)
    publish(site, [earlier], ALL)
    told = text(page)
    assert 'class="chart"' in told
    assert told.index("<td>2.8.25-5cf5d0683</td>") < told.index("<td>2.4.30</td>")
    assert told.index(">2026-10-01<") < told.index(">2026-11-28<"), "the chart goes from left to right"
    # What is newer is what the front page shows.
    assert "6 of 80" in text(site / "index.html")


def test_published_again_with_more_every_old_address_stays_and_the_order_does_not_matter(
    tmp_path: Path, written: Path, earlier: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    publish(one, [written], ALL)
    before = tree(one)
    publish(one, [written], ALL)
    assert tree(one) == before
    publish(one, [earlier], ALL)
    after = tree(one)
    assert set(before) < set(after)
    publish(other, [earlier, written], ALL)
    assert tree(other) == after
    # Neither comparison is needed any more.
    (written.parent / "compare.json").unlink()
    publish(one, [earlier], ALL)
    assert tree(one) == after


def test_what_older_comparisons_do_not_tell_is_left_open(tmp_path: Path) -> None:
    content = json.loads(as_json([SEAMLESS, LOSSY, CANNOT, MISSING], {"what": "proxyreload 0.1.0, 2026-11-27: it"}))
    published = publish(tmp_path / "site", [write_comparison(tmp_path / "old", content, {})], ALL)
    [edition] = published.collection.editions
    assert (edition.day, edition.conditions[0].name, edition.rows[0].price) == ("2026-11-27", "", None)
    assert dead_links(tmp_path / "site") == []
    assert {cell["condition"] for cell in index(tmp_path / "site")["cells"]} == {""}
    [lossy] = (tmp_path / "site" / "cell" / "fake-slow").rglob("index.html")
    assert lossy.parent.name == "as-run"
    assert "has kept no command of its own" in text(lossy)
    assert "The files of its runs were not there" in text(lossy)


def test_a_kind_that_cannot_and_a_row_that_cannot_break_nothing(tmp_path: Path) -> None:
    told = [
        row(
            "vendor:odd", "", {"get": kind("cannot", 0, why="no HTTP/1.1"), "new": kind("lossy", 9, 1)}, verdict="lossy"
        ),
        row("vendor:none", "", {}, verdict="cannot", why="its plugin is broken", trials=[], proxy_version=None),
    ]
    publish(tmp_path / "site", [write_comparison(tmp_path / "c", comparison(told, conditions=[]))], ALL)
    assert dead_links(tmp_path / "site") == []
    front = text(tmp_path / "site" / "index.html")
    assert "no HTTP/1.1" in front
    assert "vendor:odd loses new requests: 1 of 9" in front
    assert "its plugin is broken" in text(tmp_path / "site" / "mechanism" / "vendor-none.html")


def test_two_programs_of_one_version_have_an_address_each(tmp_path: Path) -> None:
    told = [
        row("haproxy:reload"),
        row("haproxy:reload@2.8.25", version="2.8.25", trials=[]),
        row("haproxy:reload@/opt/haproxy", trials=[]),
    ]
    publish(tmp_path / "site", [write_comparison(tmp_path / "c", comparison(told, conditions=[]))], ALL)
    addresses = [cell["address"] for cell in index(tmp_path / "site")["cells"]]
    assert len(set(addresses)) == 3
    assert dead_links(tmp_path / "site") == []


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"format": 2}, r"compare\.json: format is not 1"),
        ({"rows": [{}]}, r"compare\.json: rows 1: exchanges is not a whole number"),
        ({"rows": [row("a:b"), row("a:b")]}, r"compare\.json: rows 2: mechanism stands twice under one condition"),
        ({"conditions": 1}, r"compare\.json: conditions is not a list"),
        ({"rows": [row("a:b", price={"left": -1})]}, r"compare\.json: rows 1: price\.left is not a whole number"),
        ({"rows": [row("a:b", kinds={str(n): kind() for n in range(51)})]}, r"rows 1: kinds has more than 50 entries"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key_and_nothing_is_made(
    tmp_path: Path, spoilt: dict[str, Any], message: str
) -> None:
    path = tmp_path / "compare.json"
    path.write_text(json.dumps({**comparison(), **spoilt}), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        publish(tmp_path / "site", [path], ALL)
    assert not (tmp_path / "site").exists()


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, written: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear", encoding="utf-8")
    for content in (None, "{}", '{"site": "another"}'):
        if content is not None:
            (folder / "index.json").write_text(content, encoding="utf-8")
        before = tree(folder)
        with pytest.raises(UsageError, match="is not empty, and no site of proxyreload's"):
            publish(folder, [written], ALL)
        assert tree(folder) == before


def test_what_is_hidden_in_a_folder_is_no_page_and_stays(tmp_path: Path, written: Path) -> None:
    (tmp_path / "site" / ".git").mkdir(parents=True)
    (tmp_path / "site" / ".git" / "HEAD").write_text("ref", encoding="utf-8")
    publish(tmp_path / "site", [written], ALL)
    assert text(tmp_path / "site" / ".git" / "HEAD") == "ref"
    assert [path.name for path in (tmp_path / "site").iterdir() if path.name.startswith(".")] == [".git"]


def test_where_it_fails_half_way_the_site_is_what_it_was(
    site: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SiteFolder.write

    def full(folder: SiteFolder, name: str, content: str | bytes) -> None:
        if name == "index.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder, name, content)

    before = tree(site)
    monkeypatch.setattr(SiteFolder, "write", full)
    for folder in (site, tmp_path / "new"):
        with pytest.raises(UsageError, match=r"cannot be written: No space left on device"):
            publish(folder, [earlier], ALL)
    assert tree(site) == before
    assert not (tmp_path / "new").exists()


def test_an_edition_that_was_changed_since_is_told(site: Path) -> None:
    [edition] = site.glob("edition/*/compare.json")
    edition.write_text(json.dumps(comparison([])), encoding="utf-8")
    before = tree(site)
    with pytest.raises(UsageError, match="not what was published as 2026-11-28-"):
        publish(site, [], ALL)
    told = index(site)
    told["editions"][0]["id"] = "../../etc"
    (site / "index.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(UsageError, match=r"compare\.json: No such file"):
        publish(site, [], ALL)
    assert set(tree(site)) == set(before)


def test_nothing_is_read_that_is_not_in_the_comparisons_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("run.json", "proxy.log", "losses.csv"):
        (secret / name).write_text("secret", encoding="utf-8")
    told = [
        row("a:up", trials=[{"round": 1, "run": "../secret/run.json"}]),
        row("a:absolute", trials=[{"round": 1, "run": str(secret / "run.json")}]),
        row("a:linked", trials=[{"round": 1, "run": "runs/linked/run.json"}]),
        row("a:other", trials=[{"round": 1, "run": "compare.json"}]),
        row("a:beside"),
    ]
    path = tmp_path / "c" / "compare.json"
    path.parent.mkdir()
    (path.parent / "runs" / "a-beside").mkdir(parents=True)
    (path.parent / "runs" / "linked").symlink_to(secret)
    (path.parent / "runs" / "a-beside" / "run.json").write_text("{}", encoding="utf-8")
    (path.parent / "runs" / "a-beside" / "proxy.log").symlink_to(secret / "proxy.log")
    (path.parent / "runs" / "a-beside" / "configuration").symlink_to(secret)
    os.mkfifo(path.parent / "runs" / "a-beside" / "losses.csv")
    path.write_text(json.dumps(comparison(told, conditions=[])), encoding="utf-8")
    published = publish(tmp_path / "site", [path], ALL)
    assert len(published.left_out) == 4
    assert all("in the folder of compare.json" in line for line in published.left_out)
    assert not any(content == b"secret" for content in tree(tmp_path / "site").values())
    runs = {cell["mechanism"]: cell["runs"] for cell in index(tmp_path / "site")["cells"]}
    assert [name for name, each in runs.items() if each] == ["a:beside"]
    assert [key for key, value in runs["a:beside"][0].items() if value] == ["round", "run"]


def test_what_is_too_long_stays_out_and_is_told(tmp_path: Path) -> None:
    left = {"run.json": "{}", "proxy.log": "x" * 2_000_001, "data.csv": os.urandom(3000).hex()}
    path = write_comparison(tmp_path / "c", comparison([row("a:b")], conditions=[]), left)
    published = publish(tmp_path / "site", [path], Wanted(rows_mb=0.001))
    assert [line.partition(": ")[2] for line in published.left_out] == [
        "longer than 2000000 bytes",
        "longer than 1000 bytes when gzipped",
    ]
    [[run]] = [cell["runs"] for cell in index(tmp_path / "site")["cells"]]
    assert (run["log"], run["rows"]) == (None, None)
    assert dead_links(tmp_path / "site") == []


def test_a_report_loads_nothing_and_what_was_a_page_is_text(tmp_path: Path) -> None:
    left = {"run.json": "{}", "report.html": "<p>hello</p>", "configuration/evil.html": "<script>alert(1)</script>"}
    path = write_comparison(tmp_path / "c", comparison([row("a:b")], conditions=[]), left)
    publish(tmp_path / "site", [path], ALL)
    [report] = (tmp_path / "site").rglob("report.html")
    assert text(report).startswith('<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"')
    assert text(report).endswith("<p>hello</p>")
    assert not list((tmp_path / "site").rglob("evil.html"))
    [evil] = (tmp_path / "site").rglob("evil.html.txt")
    assert text(evil) == "<script>alert(1)</script>"
    publish(tmp_path / "other", [path], Wanted(0, reports=False))
    assert not [name for name in tree(tmp_path / "other") if name.endswith(("report.html", ".gz"))]


def test_only_our_own_script_runs(site: Path) -> None:
    pages = pages_of(site)
    assert len({page.text["script"] for page in pages.values()}) == 1
    for page in pages.values():
        [policy] = [values["content"] for tag, values in page.elements if values.get("http-equiv")]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert [tag for tag, _values in page.elements].count("script") == 1
        assert page.handlers == []


def test_the_command_publishes_and_refuses_in_a_line(
    tmp_path: Path, written: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written.parent)
    assert status_of("publish", str(tmp_path / "site")) == ExitStatus.LOSSLESS
    assert capfd.readouterr().out.endswith("index.html: 1 edition, 5 mechanisms, 28 pages\n")
    for words, message in {
        (): "name the folder of the site: proxyreload publish site",
        ("x", "none.json"): "none.json: No such file or directory",
        ("x", "--rows", "many"): "--rows takes a number from 0 to 1000 MB, not 'many'",
        ("compare.json",): "compare.json cannot be written: File exists",
    }.items():
        assert status_of("publish", *words) == ExitStatus.USAGE
        assert capfd.readouterr().err == f"proxyreload: {message}\n"
    assert not Path("x").exists()


def test_conditions_that_only_rows_name_are_conditions(tmp_path: Path) -> None:
    told = [row("a:b", "near"), row("a:b", "a world away")]
    publish(tmp_path / "site", [write_comparison(tmp_path / "c", comparison(told))], ALL)
    [edition] = index(tmp_path / "site")["editions"]
    assert [each["name"] for each in edition["conditions"]] == [each["name"] for each in CONDITIONS] + [
        "near",
        "a world away",
    ]


def test_kinds_of_other_editions_are_not_mixed_up(tmp_path: Path, earlier: Path) -> None:
    today = write_comparison(tmp_path / "c", comparison([row("nginx:reload", "", QUIET)], conditions=[]))
    publish(tmp_path / "site", [earlier, today], ALL)
    front = text(tmp_path / "site" / "index.html")
    assert "nginx:reload loses no GETs: none of 3,700" in front
    assert "haproxy:reload loses GETs: 18 of 3,700" in front


def test_what_these_tests_publish_is_what_compare_writes() -> None:
    assert wrong("compare", comparison()) == []
