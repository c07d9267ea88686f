"""One loss of a run, made ready to be sent: what is read, what is refused, what is written."""

import ast
import re
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxyreload.command.reproduce import reproduce
from proxyreload.errors import UsageError

from .lost import STALE, loss, run_of, write_losses, write_lossy_run
from .written import change, lost, row, write_rows

FOLDER = "proxyreload-loss-1"
RUN = run_of("nginx:reload")


def made(folder: Path, content: Mapping[str, Any] = RUN, *rows: Mapping[str, object]) -> Path:
    """Return the folder that is made of the first loss."""
    file = write_lossy_run(folder, content, rows or (loss(),))
    assert reproduce([str(file), "--loss", "1", "--into", str(folder)]) == 0
    return folder / FOLDER


def case(folder: Path) -> dict[str, Any]:
    """Return what the script knows, by its literal."""
    tree = ast.parse((folder / "reproduce.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and _name(node.targets[0]) == "CASE"]
    table: dict[str, Any] = ast.literal_eval(values[0])
    return table


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def refused(folder: Path, *words: str, content: Mapping[str, Any] = RUN, rows: Any = None) -> str:
    """Return why nothing is made, and see that nothing is."""
    file = write_lossy_run(folder, content, (loss(),) if rows is None else rows)
    with pytest.raises(UsageError) as error:
        reproduce([str(file), "--into", str(folder), *words])
    assert not list(folder.glob("proxyreload-loss*"))
    text = str(error.value)
    assert text.isprintable()
    return text


def test_a_folder_and_its_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path)
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert sorted(files) == [
        f"{FOLDER}/{name}"
        for name in (
            "README.md",
            "configuration/after/nginx.conf",
            "configuration/before/nginx.conf",
            "example.pcapng",
            "example.txt",
            "reproduce.py",
        )
    ]
    with tarfile.open(tmp_path / f"{FOLDER}.tar.gz") as archive:
        entries = archive.getmembers()
        packed = {entry.name: getattr(archive.extractfile(entry), "read", bytes)() for entry in entries}
    assert packed == files
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries} == {(0, 0, "", 0)}
    assert f"python3 {folder}/reproduce.py" in capsys.readouterr().out


def test_the_configuration_is_of_before_and_after(tmp_path: Path) -> None:
    configuration = made(tmp_path) / "configuration"
    before, after = ((configuration / when / "nginx.conf").read_text() for when in ("before", "after"))
    assert "listen 127.0.0.1:8080;" in before
    assert "keepalive_timeout 60s;" in before
    assert after.replace("        server 127.0.0.1:1032;\n", "") == before != after


def test_time_outs_are_longer_than_the_rests_of_the_traffic(tmp_path: Path) -> None:
    resting = {"kind": "idle", "clients": 2, "rate": None, "rtt_ms": 0.0, "gap": [1.0, 100.0]}
    folder = made(tmp_path, run_of("nginx:reload", traffic=[*RUN["traffic"], resting]))
    assert "keepalive_timeout 200s;" in (folder / "configuration/before/nginx.conf").read_text()


def test_what_the_script_knows(tmp_path: Path) -> None:
    known = case(made(tmp_path))
    assert known["mechanism"] == "nginx:reload"
    assert (known["front"], known["backends"]) == (8080, {0: 1030, 1: 1031, 2: 1032})
    assert (known["change"], known["added"], known["removed"]) == ("add backend 2", 2, None)
    assert (known["way"], known["method"], known["body"]) == ("race", "GET", 0)
    assert known["lost"] == ["closed before response, reused", "reset before response, reused"]


def test_a_post_is_sent_as_one(tmp_path: Path) -> None:
    known = case(made(tmp_path, RUN, loss(kind="post")))
    assert (known["method"], known["body"], known["chunked"]) == ("POST", 1000, False)


def test_an_upload_is_sent_in_chunks(tmp_path: Path) -> None:
    folder = made(tmp_path, RUN, loss(kind="upload"))
    known = case(folder)
    assert (known["method"], known["body"], known["chunked"]) == ("POST", len(b"3e8\r\n\r\n") + 1000, True)
    assert "(there is more of it)" in (folder / "example.txt").read_text()


def test_the_script_is_of_the_standard_library_alone(tmp_path: Path) -> None:
    tree = ast.parse((made(tmp_path) / "reproduce.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


def test_a_backend_that_is_gone_is_taken_away_as_it_was(tmp_path: Path) -> None:
    content = run_of("haproxy:reload-idle", action="remove", instance="0")
    content["options"]["kill_removed"] = 0.5
    known = case(made(tmp_path, content, STALE))
    assert (known["way"], known["lost"]) == ("rest", ["status 503"])
    assert (known["removed"], known["leaves_s"], known["killed"]) == (0, 0.5, True)


def test_a_loss_by_an_earlier_removal_is_that_changes(tmp_path: Path) -> None:
    name = "haproxy:reload-idle"
    changes = [
        change(1, 2_000_000, action="remove", instance="0", mechanism=name),
        change(2, 7_000_000, action="add", instance="2", mechanism=name),
    ]
    folder = made(tmp_path, run_of(name, changes=changes), {**STALE, "change": 2, "since change us": 500_000})
    assert case(folder)["change"] == "remove backend 0"
    assert "sent 5500.0 ms after the change was asked for" in (folder / "README.md").read_text()


def test_a_backend_that_was_still_there_is_not_blamed(tmp_path: Path) -> None:
    name = "haproxy:reload-idle"
    changes = [
        change(1, 2_000_000, action="remove", instance="0", mechanism=name),
        change(2, 3_000_000, action="remove", instance="1", mechanism=name),
    ]
    content = run_of(name, changes=changes)
    content["scenario"]["backends"] = [0, 1, 2]
    folder = made(tmp_path, content, {**STALE, "time": 3_900_000, "change": 2, "since change us": 850_000})
    assert case(folder)["change"] == "remove backend 0"


def test_a_change_that_was_refused_has_moved_nobody(tmp_path: Path) -> None:
    name = "nginx:reload"
    changes = [
        change(1, 1_000_000, action="remove", instance="0", mechanism=name, error="no"),
        change(2, 2_000_000, action="remove", instance="1", mechanism=name),
    ]
    known = case(made(tmp_path, run_of(name, changes=changes), loss(change=2)))
    assert sorted(known["backends"]) == [0, 1]


def test_the_example_as_text(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "data.csv",
        [
            row(1_000_300, 3, carried=0, request=0, connection=0, connect=100),
            row(1_500_300, 4, carried=0, request=7, connection=0),
            lost(2_013_000, 3, carried=7, request=7, connection=0, written=2_012_400),
        ],
    )
    text = (made(tmp_path) / "example.txt").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in lines if line[:1] in "-0123456789"] == [
        "",
        "-1000.100  client 3 opens a connection: 127.0.0.1:40003 to 127.0.0.1:8080",
        "0.000  change 1 is asked for: add backend 2",
        "1.000  the change is applied: nginx:reload",
        "12.400  client 3 sends request 3-7 over it; it had carried 7 and rested for 5.000 ms",
        "13.000  closed before response, reused: nothing came back",
        "",
    ]
    assert [line for line in lines if line.startswith("|")] == [
        "| GET / HTTP/1.1",
        "| Host: proxyreload.test:8080",
        "| Proxyreload-Id: 3-7",
        "|",
    ]


def test_without_the_rows_less_is_known_of_when(tmp_path: Path) -> None:
    text = (made(tmp_path) / "example.txt").read_text(encoding="utf-8")
    assert "opens a connection" not in text
    assert "12.000  client 3 sends request 3-7" in text


def test_the_readme_says_what_was_seen_and_what_helps(tmp_path: Path) -> None:
    content = run_of("haproxy:reload-idle", action="remove", instance="0")
    text = (made(tmp_path, content, STALE, STALE, loss()) / "README.md").read_text(encoding="utf-8")
    assert "# haproxy:reload-idle: a request is lost when the proxy is changed (remove backend 0)" in text
    assert "- proxy: `haproxy 1.2`\n" in text
    assert "cause: stale generation; 2 of the run's 3 losses have it" in text
    assert "no backend received it, so that sending it again is safe" in text
    assert "- verdict of the run: `lossy`, `1 failure`" in text
    assert "option redispatch 1, as in haproxy:reload-redispatch" in text
    assert "RFC 9112" in text


NASTY = "`</code> ![x](http://x.test/) @somebody\x1b[31m\n\n# `heading"


def test_what_a_file_says_is_nothing_but_code_in_the_readme(tmp_path: Path) -> None:
    content = run_of("nginx:reload", proxy_version=NASTY, command=[NASTY])
    content["summary"]["reasons"] = [NASTY]
    content["summary"]["verdict"] = NASTY
    content["versions"] = {"proxyreload": NASTY}
    folder = made(tmp_path, content, loss(evidence=NASTY.replace("\n", " ")))
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "\n# `heading" not in text
    plain = text.replace("```", "").split("`")[::2]  # what stands outside of code
    assert len(text.replace("```", "").split("`")) % 2
    assert not any("somebody" in part or "x.test" in part or "heading" in part for part in plain)


def test_nothing_of_a_file_goes_into_the_script_as_it_stands(tmp_path: Path) -> None:
    nasty = "0; import os #"
    content = run_of("nginx:reload", proxy_version=nasty, command=[nasty])
    folder = made(tmp_path, content, loss(evidence=nasty))
    assert "import os #" not in (folder / "reproduce.py").read_text(encoding="utf-8")
    assert "import os #" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"cause": "__import__('os')"}, "loss 1: cause: '__import__('os')' is none that is known"),
        ({"failure": "closed'); import os"}, "loss 1: failure: 'closed'); import os' is none that is known"),
        ({"failure": "status 99"}, "loss 1: failure: 'status 99' is none that is known"),
        ({"fate": "lost"}, "loss 1: fate: 'lost' is none that is known"),
        ({"kind": "../get"}, "loss 1: kind: '../get' is none that is known"),
        ({"client": "-1"}, "client: '-1' is no such number"),
        ({"client": ""}, "loss 1: client and request: 'None-7' is none that is known"),
        ({"request": "x"}, "loss 1: client and request: '3-x' is none that is known"),
        ({"request": "9" * 5000}, "loss 1: client and request: '3-999"),
        ({"client": 2**40}, "loss 1: client takes a whole number"),
        ({"front_port": 70000}, "loss 1: front port takes a whole number from 1 to 65535, not 70000"),
        ({"time": ""}, "time is empty"),
        ({"since_change_us": "soon"}, "since change us: 'soon' is no such number"),
    ],
)
def test_a_row_that_is_none_is_told_by_its_line(tmp_path: Path, told: dict[str, object], why: str) -> None:
    text = refused(tmp_path, rows=[loss(**told)])
    assert re.match(rf"{re.escape(str(tmp_path))}/losses.csv:(2:)? {re.escape(why)}", text), text
    assert len(text) < 300


def test_a_kind_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path, rows=[loss(kind="gopher")]).startswith("no kind 'gopher'; there are: ")


@pytest.mark.parametrize(
    ("rows", "number", "why"),
    [
        ([], "1", "there is none"),
        ([loss()], "2", "there is one"),
        ([loss()] * 3, "4", "there are 3"),
    ],
)
def test_a_loss_that_is_not_there(tmp_path: Path, rows: Any, number: str, why: str) -> None:
    assert (
        refused(tmp_path, "--loss", number, rows=rows)
        == f"--loss {number}: {tmp_path}/losses.csv has no such row, {why}"
    )


@pytest.mark.parametrize("number", ["0", "-1", "x", "1e3"])
def test_a_number_that_is_none(tmp_path: Path, number: str) -> None:
    assert refused(tmp_path, "--loss", number).startswith("--loss takes a whole number from 1")


def test_a_file_with_other_columns_or_a_row_too_short(tmp_path: Path) -> None:
    file = write_lossy_run(tmp_path, RUN)
    write_losses(tmp_path / "losses.csv", [loss()], ["time", "client"])
    with pytest.raises(UsageError, match=r"losses.csv:1: it has no column 'kind'"):
        reproduce([str(file)])
    write_losses(tmp_path / "losses.csv", [loss()])
    with (tmp_path / "losses.csv").open("a", encoding="utf-8") as losses:
        losses.write("1,2\n")
    with pytest.raises(UsageError, match=r"losses.csv:3: 2 fields, not 15"):
        reproduce([str(file), "--loss", "2"])


def test_losses_that_are_not_beside_the_run(tmp_path: Path) -> None:
    file = write_lossy_run(tmp_path, RUN)
    (tmp_path / "losses.csv").rename(tmp_path / "elsewhere.csv")
    with pytest.raises(UsageError, match=r"its losses, .losses\.csv., are not beside it"):
        reproduce([str(file)])


def test_rows_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("nothing\n")
    assert refused(tmp_path) == f"{tmp_path}/data.csv:1: it has no column 'time'"


def test_a_plugin_that_does_not_say_how(tmp_path: Path) -> None:
    text = refused(tmp_path, content=run_of("caddy:dns"))
    assert text == ("caddy:dns cannot be reproduced yet: its plugin does not say how anybody else makes its changes")


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path, content=run_of("it:reload")).startswith("no plugin 'it'; there are: ")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            {"cause": "answer spoilt", "failure": "wrong body"},
            "no script knows how to bring about: answer spoilt (wrong body)",
        ),
        (
            {"cause": "repeat refused", "failure": "status 504", "fate": "lost_executed"},
            "no script knows how to bring about: repeat refused (status 504)",
        ),
        (
            {"cause": "repeated by the proxy", "failure": "carried out twice"},
            "repeated by the proxy (carried out twice)",
        ),
        ({"change": ""}, "loss 1 is no change's doing: there is nothing to make again"),
        ({"change": 9}, "loss 1 is no change's doing: there is nothing to make again"),
    ],
)
def test_a_loss_that_no_script_can_make_again(tmp_path: Path, told: dict[str, object], why: str) -> None:
    assert why in refused(tmp_path, rows=[loss(**told)])


def test_an_upgrade(tmp_path: Path) -> None:
    text = refused(tmp_path, content=run_of("nginx:upgrade", action="upgrade", instance=""))
    assert text == "change 1 cannot be reproduced yet: a script can add, remove, reload, not upgrade"


def test_over_tls(tmp_path: Path) -> None:
    text = refused(tmp_path, content={**RUN, "url": "https://proxyreload.test:8080/"})
    assert text == "loss 1 cannot be reproduced yet: it was lost over TLS, and a script speaks in the clear"


@pytest.mark.parametrize(("kind", "values"), [("h2", {}), ("grpc", {}), ("aimed", {"streams": 4})])
def test_over_http2(tmp_path: Path, kind: str, values: Mapping[str, object]) -> None:
    content = {**RUN, "traffic": [{"kind": kind, "clients": 10, "rate": None, "rtt_ms": 0.0, **values}]}
    text = refused(tmp_path, content=content, rows=[loss(kind=kind)])
    why = f"it was lost over HTTP/2 (kind {kind}), and a script speaks HTTP/1.1"
    assert text == f"loss 1 cannot be reproduced yet: {why}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://it.test/", "the port in url takes a whole number from 1 to 65535, not None"),
        ("http://it.test:99999999/", "'http://it.test:99999999/' is not a URL: "),
        ("", "'' is not a URL"),
    ],
)
def test_a_front_without_a_port(tmp_path: Path, url: str, why: str) -> None:
    assert refused(tmp_path, content={**RUN, "url": url}).startswith(why)


@pytest.mark.parametrize(
    ("key", "value"), [("first_port", "1030"), ("first_port", 65535), ("timeout", -1), ("stop_removed", [1])]
)
def test_options_that_are_none(tmp_path: Path, key: str, value: object) -> None:
    content = run_of("nginx:reload")
    content["options"][key] = value
    assert refused(tmp_path, content=content).startswith(f"options.{key}")


@pytest.mark.parametrize("backends", [["0"], [1.5], [-1], [10**12], list(range(500))])
def test_backends_that_are_none(tmp_path: Path, backends: object) -> None:
    content = run_of("nginx:reload")
    content["scenario"]["backends"] = backends
    refused(tmp_path, content=content)


@pytest.mark.parametrize("name", [FOLDER, f"{FOLDER}.tar.gz"])
def test_what_is_there_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    file = write_lossy_run(tmp_path, RUN)
    with pytest.raises(UsageError, match="is there already"):
        reproduce([str(file), "--into", str(tmp_path)])
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.glob("proxyreload-loss*"))) == 1


def test_a_folder_in_which_nothing_can_be_made(tmp_path: Path) -> None:
    file = write_lossy_run(tmp_path, RUN)
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        reproduce([str(file), "--into", str(tmp_path / "nowhere")])


#: What was carried out twice when the backend that had it was killed.
REPEATED = loss(
    time=6_000_000,
    kind="slow",
    failure="carried out twice",
    cause="repeated by the proxy",
    fate="answered_twice",
    since_change_us=-200_000,
)


def killing(**more: object) -> dict[str, Any]:
    """Return a run whose removed backends are killed at once."""
    content = run_of("nginx:reload", action="remove", instance="0", **more)
    content["options"]["kill_removed"] = 0.001
    return content


def test_a_request_that_was_under_way_is_the_doing_of_the_removal_that_came_after_it(tmp_path: Path) -> None:
    changes = [
        change(1, 2_000_000, action="add", instance="2", mechanism="nginx:reload"),
        change(2, 3_000_000, action="remove", instance="0", mechanism="nginx:reload"),
    ]
    folder = made(tmp_path, killing(changes=changes), REPEATED)
    known = case(folder)
    assert (known["way"], known["lost"], known["killed"]) == ("under way", ["carried out twice"], True)
    assert (known["change"], known["removed"]) == ("remove backend 0", 0)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "# nginx:reload: a request is carried out twice when the proxy is changed (remove backend 0)" in text
    assert "- fate: it was answered, and **backends carried it out more than once**" in text
    assert "carried out twice: its client had an answer all the same" in (folder / "example.txt").read_text()
    assert b"HTTP/1.1 200" in (folder / "example.pcapng").read_bytes()


def test_a_backend_that_was_killed_by_no_change(tmp_path: Path) -> None:
    content = killing(changes=[change(1, 2_000_000, action="add", instance="2", mechanism="nginx:reload")])
    text = refused(tmp_path, content=content, rows=[REPEATED])
    assert text == "loss 1 cannot be reproduced yet: no change had taken its backend away by then"


def test_a_client_is_as_far_away_as_it_was(tmp_path: Path) -> None:
    traffic = [{"kind": "get", "clients": 10, "rate": None, "rtt_ms": 20.0}]
    folder = made(tmp_path, run_of("nginx:reload", traffic=traffic))
    assert case(folder)["away_s"] == 0.01
    assert (
        "- lost: a request of kind `get`, of a client 20 ms away: closed before" in (folder / "README.md").read_text()
    )


def test_a_client_on_the_moon_is_not_waited_for(tmp_path: Path) -> None:
    traffic = [{"kind": "get", "clients": 10, "rate": None, "rtt_ms": 1e9}]
    assert case(made(tmp_path, run_of("nginx:reload", traffic=traffic)))["away_s"] == 0.5


@pytest.mark.parametrize(
    ("mechanism", "words"),
    [
        ("nginx:restart", "in its place: the proxy is ended before by SIGQUIT, and started anew after that. It "),
        ("nginx:reload", "in its place: it is sent SIGHUP. It "),
        ("haproxy:hard", "another process is started with `haproxy -db -f haproxy.cfg -x api.sock -st {pid}`. It "),
        ("caddy:load", "in its place: `POST /load` with `caddy.json` at its socket `admin-0.sock`. It "),
        ("sozu:upgrade", "--timeout 30000`, then `sozu upgrade --config sozu.toml --timeout 30000`. It "),
        ("traefik:file", "in its place: the proxy follows its files. It "),
    ],
)
def test_the_readme_says_how_the_change_is_made(tmp_path: Path, mechanism: str, words: str) -> None:
    assert words in (made(tmp_path, run_of(mechanism)) / "README.md").read_text(encoding="utf-8")


def test_what_the_script_does_besides_is_a_literal(tmp_path: Path) -> None:
    (step,) = case(made(tmp_path, run_of("caddy:api")))["steps"]
    assert step.pop("fields") == {"Content-Type": "application/json"}
    assert step == {
        "socket": "admin-0.sock",
        "method": "POST",
        "path": "/id/app/upstreams",
        "body": '{"dial": "127.0.0.1:1032"}',
        "file": "",
    }
