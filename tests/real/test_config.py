"""A configuration of the user's in place of the plugin's own, and what is wrong with one."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from .command import Place
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

#: What an operator might have: other names than the plugin's, and settings of his own.
OPERATORS = """\
global
    stats socket @@admin@@ mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend web
    bind @@front@@
    http-response set-header X-Operator somebody
    default_backend site
backend site
    @@each backend@@
    server @@name@@ @@address@@ maxconn 50
    @@end@@
"""
QUICK = ("--traffic", "get=2", "--repeat", "1", "--pace", "0.2")


@pytest.mark.parametrize("mechanism", ["reload", "runtime"])
def test_the_users_own_is_run_and_changed_by_the_mechanism(place: Place, mechanism: str) -> None:
    path = place.folder / "mine.cfg"
    path.write_text(OPERATORS, encoding="utf-8")
    result = place.run("--plugin", f"haproxy:{mechanism}", "--config", str(path), *QUICK, *place.ports)
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None, None]
    told = result.run_json["configuration"]
    assert told["name"] == str(path)
    assert told["files"] == {
        "haproxy.cfg": {"sha256": hashlib.sha256(OPERATORS.encode()).hexdigest(), "text": OPERATORS}
    }


def test_what_is_printed_is_what_is_run(place: Place) -> None:
    printed = place.run("config", "nginx:reload")
    assert printed.status == 0
    path = Path(place.folder / "mine.conf")
    path.write_text(printed.stdout.replace("keepalive 16;", "keepalive 8;"), encoding="utf-8")
    words = ("--plugin", "nginx:reload", "--config", str(path), *QUICK)
    assert_whole(place, place.run(*words, *place.ports))


#: A small change in one of the files that a mechanism prints.
CHANGED = [
    ("envoy:file", "envoy.yaml", "connect_timeout: 2s", "connect_timeout: 1s"),
    ("envoy:hot-restart", "envoy.yaml", "stat_prefix: front", "stat_prefix: mine"),
    ("traefik:file", "dynamic/app.yml", '"priority": 1000', '"priority": 1001'),
    ("traefik:rest", "app.yml", '"priority": 1000', '"priority": 1001'),
    ("httpd:manager", "httpd.conf", "MaxKeepAliveRequests 0", "MaxKeepAliveRequests 1000000"),
    ("lighttpd:reload-bg", "lighttpd.conf", 'proxy.balance = "round-robin"', 'proxy.balance = "fair"'),
    ("nghttpx:api", "nghttpx.conf", "workers=2", "workers=1"),
    ("trafficserver:host", "parent.config", "round_robin=strict", "round_robin=true"),
    ("varnish:health", "varnish.vcl", '.port = "@@port@@"; }', '.port = "@@port@@"; .connect_timeout = 2s; }'),
    ("squid:reconfigure", "squid.conf", "shutdown_lifetime 1 second", "shutdown_lifetime 0 seconds"),
]


@pytest.mark.parametrize(("name", "file", "text", "becomes"), CHANGED)
def test_what_is_printed_is_run_with_a_change(place: Place, name: str, file: str, text: str, becomes: str) -> None:
    mine = place.folder / "mine"
    assert place.run("config", name, "--into", str(mine)).status == 0
    path = mine / file
    printed = path.read_text(encoding="utf-8")
    assert printed.count(text) == 1
    path.write_text(printed.replace(text, becomes), encoding="utf-8")
    result = place.run("--plugin", name, "--config", str(mine), *QUICK, *place.ports)
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None, None]
    assert becomes in result.run_json["configuration"]["files"][file]["text"]


def test_a_loss_of_the_users_own_is_reproduced_with_it(place: Place) -> None:
    path = place.folder / "mine.cfg"
    path.write_text(OPERATORS, encoding="utf-8")
    words = ("--plugin", "haproxy:restart", "--config", str(path), "--traffic", "get=2", "--repeat", "1")
    result = place.run(*words, *place.ports)
    assert result.verdict == "lossy"
    made = place.run("reproduce")
    assert made.status == 0, made.stderr
    written = place.folder / "proxyreload-loss-1" / "configuration" / "before" / "haproxy.cfg"
    assert "X-Operator somebody" in written.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wrong", "right", "complaint"),
    [
        ("bind *:80", "bind @@front@@", "wrong.cfg:9: 'bind *:80' has no marker front, where it listens, host:port; "),
        ("maxconn @@most@@", "maxconn 50", "wrong.cfg:14: unknown marker most; there are: "),
        ("", "    @@end@@\n", "wrong.cfg:13: this block has no @@end@@"),
    ],
)
def test_what_it_cannot_be_run_with_is_one_line_before_anything_is_started(
    place: Place, wrong: str, right: str, complaint: str
) -> None:
    (place.folder / "wrong.cfg").write_text(OPERATORS.replace(right, wrong), encoding="utf-8")
    result = place.run("--plugin", "haproxy:reload", "--config", "wrong.cfg", *QUICK, *place.ports)
    assert result.stderr.startswith(f"proxyreload: {complaint}")
    assert (result.stderr.count("\n"), result.status) == (1, 2)
    assert not (place.folder / "run.json").exists()


def test_what_the_proxy_refuses_it_says_in_its_own_words(place: Place) -> None:
    (place.folder / "wrong.cfg").write_text(OPERATORS.replace("mode http", "mode htpp"), encoding="utf-8")
    result = place.run("--plugin", "haproxy:reload", "--config", "wrong.cfg", *QUICK, *place.ports)
    assert "unknown proxy mode 'htpp'" in result.stderr
    assert result.status == 3


#: As many an nginx.conf is: without the headers of an upgrade, without HTTP/2, with a small limit for bodies.
PLAIN = """\
daemon @@daemon@@;
pid @@folder@@/nginx.pid;
error_log @@folder@@/output.log notice;
events {}
http {
    access_log off;
    client_body_temp_path @@folder@@/body; proxy_temp_path @@folder@@/proxy; fastcgi_temp_path @@folder@@/fastcgi;
    uwsgi_temp_path @@folder@@/uwsgi; scgi_temp_path @@folder@@/scgi;
    client_max_body_size 100;
    upstream app {
        @@each backend@@
        server @@address@@;
        @@end@@
    }
    server {
        listen @@front@@;
        location / { proxy_pass http://app; proxy_set_header Proxyreload-Test 1; }
    }
}
"""


def test_a_kind_that_the_users_own_does_not_carry_cannot_be_sent_and_the_others_are(place: Place) -> None:
    path = place.folder / "mine.conf"
    path.write_text(PLAIN, encoding="utf-8")
    traffic = "get=2,post=1,stream=1,websocket=1,h2=1,grpc=1,upload=1"
    words = ("--plugin", "nginx:reload", "--config", str(path), "--traffic", traffic, "--change", "reload")
    result = place.run(*words, "--repeat", "1", "--pace", "0.2", "--summary", "summary.md", *place.ports)
    assert result.status in (0, 1), result.stderr
    told = {sent["kind"]: sent["cannot"] for sent in result.run_json["traffic"] if "cannot" in sent}
    assert set(told) == {"post", "upload", "websocket", "h2", "grpc"}
    for kind in ("post", "upload"):
        assert "status 413: 413 Request Entity Too Large" in told[kind]
    assert told["h2"].endswith("malformed response: FRAME_SIZE_ERROR: an answer in HTTP/1")
    assert re.search(r"backend [01]: status 200$", told["websocket"])
    for kind, why in told.items():
        assert f"{kind}  cannot: {why}" in result.stdout
    summary = (place.folder / "summary.md").read_text(encoding="utf-8")
    assert {kind for kind in told if f"\n| {kind} | cannot | " in summary} == set(told)
    assert set(result.run_json["summary"]["kinds"]) == {"get", "fresh", "stream"}
    assert {row.kind for row in result.rows} == {"get", "fresh", "stream"}


def test_beside_others_it_is_told_of_which_mechanism_it_is_not_carried(place: Place) -> None:
    path = place.folder / "mine.cfg"
    denying = "    http-request deny deny_status 403 if METH_POST\n    default_backend"
    path.write_text(OPERATORS.replace("    default_backend", denying), encoding="utf-8")
    words = ("compare", "haproxy:reload", f"haproxy:reload+{path}", "--traffic", "get=2,post=1", "--change", "reload")
    result = place.run(
        *words, "--repeat", "1", "--pace", "0.2", "--wait-old", "0", "--no-report", "--summary", "s.md", *place.ports
    )
    assert result.status in (0, 1), result.stderr
    assert "post cannot: " in (place.folder / "s.md").read_text(encoding="utf-8")
    own, mine = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))["rows"]
    assert (own["carries_not"], list(mine["carries_not"])) == ({}, ["post"])
    assert (own["kinds"]["post"]["why"], mine["kinds"]["post"]["verdict"]) == (None, "cannot")
    assert f"haproxy:reload+{path}: post cannot: {mine['carries_not']['post']}" in result.stdout
