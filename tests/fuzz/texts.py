"""Files and bodies that somebody else has written: read, or refused in one line."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from proxyreload.comparison.table import as_json
from proxyreload.errors import UsageError
from proxyreload.plan.scenario import parse
from proxyreload.plan.settings import LoadSettings
from proxyreload.record.jsonfile import read_content, table_of
from proxyreload.record.rundata import read_record
from proxyreload.report.matrix import matrix_page, read_matrix
from proxyreload.report.rowfile import read_rows
from proxyreload.site.compared import edition_of
from proxyreload.system import bounds
from proxyreload.web.api import Api
from proxyreload.web.archive import FILES, Archive, told_by
from proxyreload.web.guard import Refusal
from tests.memory.editions import comparison
from tests.memory.editions import row as editions_row
from tests.memory.written import run_content

from .target import Target, one_line

_descriptors: list[int] = []


def _held(content: bytes) -> Path:
    """Return a file in memory, always the same one, that has this content."""
    if not _descriptors:
        _descriptors.append(os.memfd_create("input"))
    [descriptor] = _descriptors
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
    return Path(f"/proc/self/fd/{descriptor}")


def _reads(read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Return what reads a file, which may be refused as wrong usage."""

    def take(data: bytes) -> None:
        try:
            read(_held(data))
        except UsageError as error:
            one_line(error)

    return take


# Scenarios.

_DEFAULT = files("proxyreload.plan.scenarios").joinpath("default.toml")


def take_scenario(data: bytes) -> None:
    """A text is a scenario, or wrong in one line that is told."""
    text = data.decode("utf-8", "replace")
    try:
        scenario = parse(text, "my.toml")
    except UsageError as error:
        one_line(error)
        name, line, _what = str(error).split(":", 2)
        assert name == "my.toml"
        assert 1 <= int(line) <= text.count("\n") + 1
    else:
        assert scenario.title.isprintable()
        assert all(step.at_s is None or 0 <= step.at_s < scenario.duration_s for step in scenario.steps)
        assert all(step.instance <= bounds.INSTANCE.highest for step in scenario.steps)


def _scenarios() -> list[bytes]:
    step = b"[[step]]\nat = '50 %'\nadd = 2\n"
    return [
        *(b"", _DEFAULT.read_bytes(), step, step * 3, b"duration = 5\nbackends = [0, 1, 2]\n" + step),
        *(b'title = """a\nb"""\nstep = [{add = 2}, {pause = 1.5}, {reload = true}]', b"[[step]]\nupgrade = true # x\n"),
        *(
            b"[step]\nadd = 2\n",
            b"step.add = 2\n",
            b"a.b.c = 1\n[x.y]\nz = 1979-05-27\n",
            b"duration = 0x7fffffffffffffffff",
        ),
    ]


# The page.


class _Bench:
    """Takes what is asked of it, if it may be asked."""

    live = None
    settings = SimpleNamespace(
        backends=SimpleNamespace(number=3), load=SimpleNamespace(clients=2), everyone=LoadSettings(clients=2).everyone
    )

    def set_rate(self, rate_per_s: float | None) -> None:
        assert rate_per_s is None or bounds.RATE_PER_S.holds(rate_per_s)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def change(self, action: str, instance: int) -> None:
        assert (action, instance) in {("reload", -1), ("upgrade", -1), ("rotate", -1), ("edit", -1)} or (
            action in {"add", "remove"} and instance in {0, 1, 2} and type(instance) is int
        )
        raise Refusal(409, "a change is under way")


class _Request:
    """A request's body."""

    def __init__(self, body: bytes) -> None:
        self.content = BytesIO(body)

    def setResponseCode(self, status: int) -> None: ...

    def setHeader(self, name: bytes, value: bytes) -> None: ...


_apis: list[Api] = []
_ARCHIVE = Archive(Path("/nowhere"))


def take_request(data: bytes) -> None:
    """What is asked of the page is done or refused, and never anything else than what may be asked."""
    if not _apis:
        _apis.append(Api(cast(Any, _Bench())))
    api = _apis[0]
    try:
        api.load(cast(Any, _Request(data)))
    except Refusal as refusal:
        one_line(Exception(refusal.reason))
    try:
        api.change(cast(Any, _Request(data))).send(None)
    except Refusal as refusal:
        one_line(Exception(refusal.reason))
    text = data.decode("utf-8", "replace")
    run, _slash, file = text.partition("/")
    path = _ARCHIVE.folder / run / file if "\0" not in text else None
    assert _ARCHIVE.file(run, file) is None or (file in FILES and path is not None and ".." not in path.parts)
    told_by(data)


def _bodies() -> list[bytes]:
    asked: Sequence[Mapping[str, object]] = (
        *({"action": action, "backend": 2} for action in ("add", "remove")),
        *({"action": "reload"}, {"rate": 5}, {"rate": None}, {"rate": 1e300}, {"running": True}, {"running": False}),
        run_content(),
    )
    return [
        *(json.dumps(each).encode() for each in asked),
        b"20260101T000000Z/run.json",
        b"../../etc/passwd",
        b"[[[[",
        b"",
    ]


# What the report reads.


def _record_and_matrix() -> tuple[list[bytes], list[bytes]]:
    from tests.memory.test_comparison import CANNOT, LOSSY, MISSING, SEAMLESS

    run = run_content(
        {
            "baseline": {
                "rate_per_s": 1.5,
                "latency": {"count": 1, "p50_us": 1, "p99_us": 1, "p999_us": 1, "max_us": 1, "percentiles": [[50, 1]]},
            }
        }
    )
    compared = as_json([SEAMLESS, LOSSY, CANNOT, MISSING], {"what": "compared", "versions": ["fake: fake 1.2"]})
    one = as_json([LOSSY], {})
    return [json.dumps(run).encode(), b"{}", b"[]"], [compared.encode(), one.encode(), b"{}"]


def _rows() -> list[bytes]:
    from proxyreload.record.csvfile import COLUMNS

    head = ",".join(COLUMNS).encode() + b"\n"
    row = b"1000,0,200,0,40000,50000,0,700,700,990,,0,0,,\n"
    lost = b'2000,1,"timeout: ""x"", y",,40001,,1,700,700,,12,1,3,yes,timeout\r\n'
    ancestor = ",".join(COLUMNS[:6]).encode() + b"\n" + b"1000,0,200,0,40000,50000\n"
    return [
        head,
        head + row,
        head + row + lost + row,
        ancestor,
        head + row[:-9],
        head + row.replace(b"1000", b"9" * 19),
    ]


def _read_edition(path: Path) -> None:
    content = read_content(path)
    edition = edition_of(table_of(path, content), content)
    assert all(part and not part.startswith(".") for row in edition.rows for part in row.part.split("/"))


def _editions() -> list[bytes]:
    told = [comparison(), comparison([editions_row("a:b")], conditions=[])]
    return [json.dumps(each).encode() for each in told] + [b'{"format": 1, "rows": []}']


def _read_matrix(path: Path) -> None:
    matrix = read_matrix(path)
    if len(matrix.what) % 16 == 0:  # drawing it takes longer than reading it
        matrix_page(matrix)


_KEYS = tuple(f'"{key}"'.encode() for key in (*run_content(), *run_content()["summary"], *run_content()["changes"][0]))
_JSON = (
    *(
        b"null",
        b"true",
        b"false",
        b"NaN",
        b"Infinity",
        b"-1",
        b"1e400",
        b"10000000000000000000",
        b"[",
        b"]",
        b"{",
        b"}",
    ),
    *(b'"\\u001b"', b'"\\ud800"', b'":', b",", b"[[", b'"\\u0000"'),
)
_TOML = (
    *(
        b"[[step]]\n",
        b"[step]\n",
        b"at = ",
        b"add = ",
        b"remove = ",
        b"reload = true\n",
        b"upgrade = true\n",
        b"pause = ",
    ),
    *(
        b"title = ",
        b"duration = ",
        b"backends = [",
        b'"""',
        b"'''",
        b"inf",
        b"nan",
        b"0x",
        b"1e9",
        b"%",
        b"\\u001b",
        b"{",
        b"}",
    ),
    *(b"step = [{", b"}]", b".", b"a.", b"1979-05-27", b"\xe2\x80\xa8", b"#"),
)
SCENARIOS = Target("scenarios", take_scenario, _scenarios, _TOML)
BODIES = Target(
    "bodies",
    take_request,
    _bodies,
    (*_JSON, b'"action"', b'"backend"', b'"rate"', b'"running"', b'"add"', b'"reload"', b".."),
)
RECORDS = Target("records", _reads(read_record), lambda: _record_and_matrix()[0], (*_JSON, *_KEYS))
EDITIONS = Target("editions", _reads(_read_edition), _editions, _JSON)
COMPARISONS = Target("comparisons", _reads(_read_matrix), lambda: _record_and_matrix()[1], _JSON)
ROWS = Target("rows", _reads(read_rows), _rows, (b",", b"\n", b"\r\n", b'"', b"\0", b"-1", b"yes", b"\xff"))
