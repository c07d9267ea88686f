"""A row of ``losses.csv`` that somebody else has written: a folder is made of it, or it is refused in one line."""

import ast
import json
import os
import tempfile
from functools import cache
from pathlib import Path

from proxyreload.errors import UsageError
from proxyreload.explanation.sources import Sources
from proxyreload.record.lossfile import COLUMNS
from proxyreload.record.rundata import read_record
from proxyreload.reproduction.bundle import files_of
from proxyreload.reproduction.case import case_of
from proxyreload.reproduction.knownloss import read_loss
from tests.memory.lost import STALE, loss, run_of

from .target import Target, one_line


@cache
def _sources() -> Sources:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.json")
        path.write_text(json.dumps(run_of("haproxy:reload-idle", action="remove", instance="0")), encoding="utf-8")
        return Sources(read_record(path), Path(f"/proc/self/fd/{_descriptor()}"), None)


@cache
def _descriptor() -> int:
    return os.memfd_create("losses")


def take_losses(data: bytes) -> None:
    """A row becomes files, of which the script is a literal with what is around it, or it is wrong in one line."""
    descriptor = _descriptor()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)
    try:
        case = case_of(_sources(), read_loss(_sources().losses, 1))
    except UsageError as error:
        one_line(error)
        return
    files = files_of(case)
    tree = ast.parse(files["reproduce.py"])
    literals = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(literals[0])["mechanism"] == "haproxy:reload-idle"
    for name in ("README.md", "example.txt"):
        assert all(line.isprintable() for line in files[name].decode("utf-8").split("\n"))


def _seeds() -> list[bytes]:
    head = ",".join(COLUMNS)
    rows = [",".join(f'"{value}"' for value in row.values()) for row in (loss(), STALE, loss(kind="upload"))]
    return [f"{head}\n{row}\n".encode() for row in rows] + [b"", head.encode(), f"{head}\n1,2\n".encode()]


LOSSES = Target(
    "losses",
    take_losses,
    _seeds,
    (b",", b'"', b"\n", b"'", b"`", b"stale generation", b"status 503", b"lost_executed", b"post", b"\xe2\x80\xae"),
)
