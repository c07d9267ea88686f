"""A run as a badge."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import ExitStatus
from proxyreload.job.shield import badge
from proxyreload.record.rundata import read_record

from .exits import status_of
from .written import run_content, write_run

SVG = "{http://www.w3.org/2000/svg}"
SENT = [
    {"kind": "get", "clients": 10, "rtt_ms": 0.0},
    {"kind": "get", "clients": 5, "rtt_ms": 20.0},
    {"kind": "idle", "clients": 40, "rtt_ms": 20.0},
    {"kind": "websocket", "clients": 0, "cannot": "it knows none"},
    {"kind": "fresh", "clients": 1, "rate": 10.0, "probe": True},
]


def drawn(folder: Path, verdict: str = "lossy", **more: object) -> ET.Element:
    told = {"started": "2026-11-28T09:00:00+00:00", "traffic": SENT, **more}
    return ET.fromstring(badge(read_record(write_run(folder / "run.json", run_content({"verdict": verdict}, **told)))))


def texts(svg: ET.Element) -> list[str]:
    return [str(text.text) for text in svg.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [("seamless", "✓"), ("graceful", "✓"), ("racy", "▲"), ("lossy", "×"), ("ineffective", "?"), ("invalid", "?")],  # noqa: RUF001
)
def test_it_says_what_was_changed_the_verdict_the_traffic_and_the_day(tmp_path: Path, verdict: str, mark: str) -> None:
    svg = drawn(tmp_path, verdict)
    assert texts(svg) == ["it:reload", f"{mark} {verdict}", "get=15, idle=40", "2026-11-28"]
    assert svg.get("aria-label") == svg.findtext(f"{SVG}title") == ", ".join(texts(svg))


def test_passed_failed_and_unproved_differ_in_colour_and_shape(tmp_path: Path) -> None:
    verdicts = ("graceful", "racy", "lossy", "invalid")
    grounds = [[rect.get("fill") for rect in drawn(tmp_path, each).iter(f"{SVG}rect")][1] for each in verdicts]
    assert len(set(grounds)) == 4


def test_parts_stand_beside_each_other_and_fill_it(tmp_path: Path) -> None:
    svg = drawn(tmp_path)
    left = 0
    for rect, text in zip(svg.iter(f"{SVG}rect"), svg.iter(f"{SVG}text"), strict=True):
        assert rect.get("x") == str(left)
        begin, end = int(str(text.get("x"))), left + int(str(rect.get("width")))
        assert left < begin < begin + int(str(text.get("textLength"))) < end
        left = end
    assert svg.get("width") == str(left)


def test_of_much_traffic_some_is_named_and_an_old_run_has_no_day(tmp_path: Path) -> None:
    many = [{"kind": f"k{number}", "clients": 1, "rtt_ms": 0.0} for number in range(9)]
    told = texts(drawn(tmp_path, traffic=many, started=None))
    assert told[2:] == ["k0=1, k1=1, k2=1, k3=1, and 5 more"]
    assert texts(drawn(tmp_path, traffic=[]))[2] == "traffic not recorded"


@given(st.text(max_size=100))
def test_whatever_a_file_says_is_text_and_bounded(tmp_path_factory: pytest.TempPathFactory, words: str) -> None:
    folder = tmp_path_factory.mktemp("badge")
    svg = drawn(folder, words, plugin=words, mechanism=words, started=words)
    assert {element.tag for element in svg.iter()} <= {f"{SVG}{name}" for name in ("svg", "title", "rect", "text")}
    assert all(text.isprintable() for text in texts(svg))
    assert int(str(svg.get("width"))) < 2500


def test_the_command_prints_it_or_says_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run.json", run_content())
    assert status_of("badge", str(run)) == ExitStatus.LOSSLESS
    assert ET.fromstring(capfd.readouterr().out).tag == f"{SVG}svg"
    assert status_of("badge", str(run), str(run)) == ExitStatus.USAGE
    assert "name one run: proxyreload badge run.json" in capfd.readouterr().err
    assert status_of("badge", str(tmp_path / "none.json")) == ExitStatus.USAGE
