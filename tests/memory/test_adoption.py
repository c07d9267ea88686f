"""Real configurations made into templates: listening elsewhere, with other servers, and all else as it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.adoption.adopted import Adopted, Wanted
from proxyreload.command.adopt import adopt
from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import Template
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.registry import choose
from proxyreload_caddy import plugin as caddy
from proxyreload_caddy_adoption import adapted
from proxyreload_haproxy_adoption import adopter as haproxy
from proxyreload_haproxy_runtime import backends
from proxyreload_nginx_adoption import adopter as nginx

from .clocks import some_examples

SITE = """\
# ours @@ somewhere
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/admin.sock mode 660 user haproxy level operator
    stats socket ipv4@127.0.0.1:9999 level admin
    user haproxy
    daemon
    maxconn 4000
defaults
    log global
    mode http
    errorfile 503 /etc/haproxy/errors/503.http
frontend web
    bind *:80 name plain
    bind *:443 ssl crt /etc/site.pem ca-file /etc/ca.pem verify required alpn h2,http/1.1 accept-proxy
    acl api path_beg /api # "quoted"
    redirect scheme https if !{ ssl_fc }
    use_backend api if api
    default_backend app
backend app
    balance leastconn
    cookie SRV insert
    server a 10.0.0.1:80 check cookie a inter 2s ssl verify none
    server b 10.0.0.2:80 check cookie b inter 2s ssl verify none
    server c 10.0.0.3:80 check cookie c backup
backend api
    server x 10.0.0.9:80
listen stats
    bind :8404
    stats enable
program agent
    command /usr/bin/agent
"""
ADOPTED = """\
# ours @@@@ somewhere
global
    log stdout format raw daemon alert
    # chroot /var/lib/haproxy
    stats socket @@admin@@ mode 660 level admin expose-fd listeners
    # stats socket ipv4@127.0.0.1:9999 level admin
    # user haproxy
    # daemon
    maxconn 4000
defaults
    log global
    mode http
    errorfile 503 /etc/haproxy/errors/503.http
frontend web
    bind @@front@@@@if tls@@ ssl crt @@certificate-and-key@@ alpn h2,http/1.1@@end@@ name plain
    @@if edit@@
    http-request redirect location @@leads-to@@ code 302 if { path @@edited@@ }
    @@end@@
    # bind *:443 ssl crt /etc/site.pem ca-file /etc/ca.pem verify required alpn h2,http/1.1 accept-proxy
    acl api path_beg /api # "quoted"
    redirect scheme https if !{ ssl_fc }
    use_backend api if api
    default_backend app
backend app
    balance leastconn
    cookie SRV insert
    @@each backend@@
    server @@name@@ @@address@@ check inter 2s cookie @@name@@
    @@end@@
    # server b 10.0.0.2:80 check cookie b inter 2s ssl verify none
    # server c 10.0.0.3:80 check cookie c backup
backend api
    server x 10.0.0.9:80
listen stats
    bind unix@@@folder@@/other-1.sock
    stats enable
# program agent
    # command /usr/bin/agent
"""
PATH = Path("haproxy.cfg")
WEB = Wanted("app", "web")


def taken(adopted: Adopted, plugin: str) -> Configuration:
    """Check that a mechanism takes what was made."""
    own = choose(plugin).mechanism.configuration
    assert own is not None
    made = own.with_files({"mine": adopted.text}, "mine")
    made.require(["edit"], tls=True)
    return made


def test_an_operators_haproxy_listens_elsewhere_with_other_servers() -> None:
    adopted = haproxy.adopt(SITE, PATH, WEB)
    assert adopted.text == ADOPTED
    taken(adopted, "haproxy:reload")
    assert list(adopted.told("haproxy.cfg")) == [
        "haproxy.cfg:5: expose-fd listeners is added: by it a new process takes the listening sockets over",
        "haproxy.cfg:6: one socket of the runtime API is enough",
        "haproxy.cfg:15: without accept-proxy: the clients come straight, over the loopback",
        "haproxy.cfg:16: TLS is spoken with --tls, by a certificate of the run's, without it in the clear",
        "haproxy.cfg:16: clients are asked for no certificate: they have none",
        "haproxy.cfg:16: there is one front, where the first bind is",
        "haproxy.cfg:18: what comes in the clear is redirected: run it with --tls",
        "haproxy.cfg:24: server: without ssl, verify none: the run's backends speak plain HTTP",
        "haproxy.cfg:26: a backup is no backend of the run's",
        "haproxy.cfg:32: programs of HAProxy's are not started",
    ]
    difference = list(adopted.difference(SITE, "haproxy.cfg"))
    assert difference[:2] == ["--- haproxy.cfg", "+++ haproxy.cfg, adopted"]
    assert "-    chroot /var/lib/haproxy" in difference


def test_what_it_is_changed_by_at_runtime_is_what_the_file_says_of_its_servers() -> None:
    assert backends(haproxy.adopt(SITE, PATH, WEB).text)["app"].startswith(" check inter 2s")


def test_a_file_without_a_socket_gets_one() -> None:
    lines = [line for line in SITE.splitlines(keepends=True) if "stats socket" not in line]
    admin = "    stats socket @@admin@@ mode 600 level admin expose-fd listeners\n"
    assert f"global\n{admin}" in haproxy.adopt("".join(lines), PATH, WEB).text
    without = SITE[SITE.index("defaults") :]
    assert haproxy.adopt(without, PATH, WEB).text.startswith(f"global\n{admin}\ndefaults\n")


def test_the_only_one_is_the_one_that_is_wanted() -> None:
    one = "defaults\n  mode http\nlisten all\n  bind :80\n  server a 1.2.3.4:80\n"
    assert "server @@name@@ @@address@@\n" in haproxy.adopt(one, PATH, Wanted()).text


@pytest.mark.parametrize(
    ("text", "wanted", "complaint"),
    [
        (SITE, Wanted("app"), "say which frontend the clients use (--frontend); there are: web, stats"),
        (SITE, Wanted("", "web"), "say which backend the clients use (--backend); there are: app, api, stats"),
        (SITE, Wanted("nope", "web"), "no backend 'nope'; there are: app, api, stats"),
        (SITE, Wanted("stats", "web"), "29: listen stats: it has no server"),
        (SITE.replace("    bind *", "    # bind *"), WEB, "14: frontend web: nothing in it listens: there is no bind"),
        (
            SITE.replace("mode http", "mode tcp"),
            WEB,
            "12: frontend web is no mode http: the clients speak nothing else",
        ),
        (SITE.replace("mode http", "retries 1"), WEB, "14: frontend web is no mode http"),
        ("", Wanted(), "say which frontend the clients use (--frontend); there are: none"),
    ],
)
def test_what_cannot_be_adopted_safely_is_told_with_its_line(text: str, wanted: Wanted, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        haproxy.adopt(text, PATH, wanted)
    assert str(raised.value).removeprefix("haproxy.cfg:").lstrip().startswith(complaint)


OF_HAPROXY = st.sampled_from(
    [
        *("global", "defaults", "frontend f", "backend b", "listen l", "  bind :80", "  server a 1.1.1.1:1 check"),
        *("  mode http", "  stats socket x", "  log x", "\t@@x@@ y", '  acl "a b" # c', "", "  bind", "  server"),
        "  default-server ssl",
    ]
)


@given(st.lists(OF_HAPROXY, max_size=14))
@some_examples
def test_whatever_a_file_has_what_comes_of_it_is_a_template_or_a_line_that_says_why_not(lines: list[str]) -> None:
    try:
        adopted = haproxy.adopt("\n".join(lines), PATH, Wanted())
    except UsageError as error:
        told = str(error)
    else:
        told = "haproxy.cfg:"
        assert {"front", "backend", "admin"} <= Template.parse("x", adopted.text).used.keys()
    assert told.startswith("haproxy.cfg:")


NGINX = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
load_module modules/x.so;
events { worker_connections 768; } # a } in words
stream { server { listen 53; } }
http {
    access_log /var/log/nginx/access.log;
    include mime.types;
    include sites/*;
    log_format it '"$request" {@@}';
}
"""
SITES = """\
upstream app {
    least_conn;
    server 10.0.0.1:80 max_fails=2;
    server 10.0.0.2:80 weight=2;
    server 10.0.0.3:80 backup;
}
server { listen 80 default_server; return 404; }
server {
    listen 443 ssl http2 default_server;
    listen 80 proxy_protocol;
    server_name example.org;
    ssl_certificate /x.pem; ssl_certificate_key /x.key;
    location / { proxy_pass http://app; error_log /x; }
}
"""


def placed(folder: Path, main: str = NGINX, sites: str = SITES) -> Path:
    (folder / "sites").mkdir()
    (folder / "mime.types").write_text("types { text/html html; }\n")
    (folder / "sites" / "site").write_text(sites)
    path = folder / "nginx.conf"
    path.write_text(main)
    return path


def test_an_operators_nginx_has_what_it_includes_and_listens_elsewhere(tmp_path: Path) -> None:
    path = placed(tmp_path)
    adopted = nginx.adopt(NGINX, path, Wanted(frontend="example.org"))
    text = adopted.text
    for there in (
        "daemon @@daemon@@;\npid @@folder@@/nginx.pid;\n",
        f"    include {tmp_path}/mime.types;\n",
        "    least_conn;\n    @@each backend@@server @@address@@ max_fails=2; @@end@@\n",
        "server { listen unix:@@folder@@/other-1.sock; return 404; }",
        "    listen @@front@@@@if tls@@ ssl@@end@@ http2;\n    @@if tls@@\n    ssl_certificate @@certificate@@;",
        "    server_name example.org;\n",
        "proxy_pass http://app;",
        "log_format it '\"$request\" {@@@@}';",
        "events { worker_connections 768; } # a } in words\n",
    ):
        assert there in text
    for gone in ("www-data", "/run/nginx.pid", "/var/log", "stream {", "10.0.0", "/x.pem", "/x;", "include sites"):
        assert gone not in text
    taken(adopted, "nginx:upgrade")
    told = [line.partition(":")[2].partition(": ")[2] for line in adopted.told("nginx.conf")]
    assert told == [
        "left as it is: it is found where nginx was built to run, which is elsewhere",
        "stream is left out: it listens for others",
        "the servers differ: every backend is as the one in line 14 is",
        "the servers differ: every backend is as the one in line 14 is",
        "without proxy_protocol, which the clients do not speak",
        "TLS is spoken with --tls, by a certificate of the run's, without it in the clear",
        "there is one front, where the first listen is",
    ]
    assert all(line.startswith("nginx.conf, with what it includes:") for line in adopted.told("nginx.conf"))


@pytest.mark.parametrize(
    ("main", "sites", "complaint"),
    [
        (NGINX, SITES, "say which frontend the clients use (--frontend); there are: 80, 443, example.org"),
        (NGINX, SITES.replace("upstream app", "map x"), "no upstream: a backend is one"),
        (NGINX + "}", SITES, "14: this block does not end as one does"),
        (NGINX + "http {", SITES, "14: a directive does not end"),
        (NGINX + ";", SITES, "14: ; ends nothing"),
        ("master_process off;" + NGINX, SITES.replace("80 default_server", "443"), "1: master_process off"),
    ],
)
def test_what_cannot_be_of_an_nginx_is_told_with_its_line(
    tmp_path: Path, main: str, sites: str, complaint: str
) -> None:
    path = placed(tmp_path, main, sites)
    wanted = Wanted(frontend="example.org") if "master" in main else Wanted()
    with pytest.raises(UsageError) as raised:
        nginx.adopt(main, path, wanted)
    assert str(raised.value).removeprefix(f"{path}:").lstrip().startswith(complaint)


OF_NGINX = st.sampled_from(
    ["http", "server", "upstream", "listen", "80", "{", "}", ";", " ", "\n", "#", '"', "@@", "u", "\\"]
)


@given(st.lists(OF_NGINX, max_size=30).map("".join))
@some_examples
def test_whatever_an_nginx_has_is_a_template_or_a_line_that_says_why_not(text: str) -> None:
    try:
        adopted = nginx.adopt(text, Path("nginx.conf"), Wanted())
    except UsageError as error:
        told = str(error)
    else:
        told = "nginx.conf:"
        Template.parse("x", adopted.text)
    assert told.startswith("nginx.conf:")


def test_the_command_prints_it_or_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(SITE)
    words = [str(path), "--frontend", "web", "--backend", "app"]
    assert adopt([*words, "--diff"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ADOPTED
    assert printed.err.startswith(f"--- {path}\n+++ {path}, adopted\n")
    assert f"{path}:18: what comes in the clear is redirected: run it with --tls\n" in printed.err
    assert adopt([*words, "--into", str(tmp_path / "mine.cfg")]) == 0
    assert (tmp_path / "mine.cfg").read_text() == ADOPTED
    with pytest.raises(UsageError, match=r"mine\.cfg: there is one already"):
        adopt([*words, "--into", str(tmp_path / "mine.cfg")])
    with pytest.raises(UsageError, match="a folder: name the file in it that the proxy is started with"):
        adopt([str(tmp_path)])


def test_whose_it_is_the_name_says_or_the_user(tmp_path: Path) -> None:
    path = tmp_path / "site.txt"
    path.write_text(SITE)
    with pytest.raises(
        UsageError, match=r"nothing is known of site\.txt: say --plugin; there are: caddy: .*; haproxy: .*; nginx: "
    ):
        adopt([str(path)])
    words = ["--frontend", "web", "--backend", "app", "--into", str(tmp_path / "mine.cfg")]
    assert adopt([str(path), "--plugin", "haproxy", *words]) == 0


# Caddy's.

CADDYS: dict[str, Any] = {
    "admin": {"disabled": True},
    "storage": {"module": "file_system", "root": "/var/lib/caddy"},
    "logging": {"logs": {"default": {"writer": {"output": "file", "filename": "/var/log/caddy.log"}}}},
    "apps": {
        "http": {
            "servers": {
                "main": {
                    "listen": [":443", ":8443"],
                    "listener_wrappers": [{"wrapper": "proxy_protocol"}],
                    "tls_connection_policies": [{"client_authentication": {"mode": "require"}}],
                    "logs": {"logger_names": {"example.org": ["log0"]}},
                    "idle_timeout": 120,
                    "routes": [
                        {"match": [{"host": ["old.example.org"]}], "handle": [{"handler": "static_response"}]},
                        {
                            "match": [{"host": ["example.org", "www.example.org"]}],
                            "handle": [
                                {
                                    "handler": "subroute",
                                    "routes": [
                                        {
                                            "match": [{"path": ["/ws/*"]}],
                                            "handle": [
                                                {
                                                    "handler": "reverse_proxy",
                                                    "upstreams": [{"dial": "app1:80"}, {"dial": "app2:80"}],
                                                }
                                            ],
                                        },
                                        {
                                            "match": [{"path": ["/api/*"]}],
                                            "handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "api:9"}]}],
                                        },
                                        {
                                            "handle": [
                                                {
                                                    "handler": "reverse_proxy",
                                                    "headers": {"request": {"set": {"X": ["a @@ b"]}}},
                                                    "transport": {"protocol": "http", "tls": {}, "dial_timeout": "2s"},
                                                    "health_checks": {"active": {"uri": "/up", "port": 81}},
                                                    "upstreams": [
                                                        {"dial": "app1:80", "max_requests": 9},
                                                        {"dial": "app2:80"},
                                                    ],
                                                }
                                            ]
                                        },
                                    ],
                                }
                            ],
                        },
                    ],
                },
                "other": {"listen": [":9000"], "routes": [{"@id": "app", "handle": []}]},
            }
        },
        "tls": {"automation": {"policies": [{"subjects": ["example.org"]}]}},
        "pki": {"certificate_authorities": {}},
        "events": {"subscriptions": []},
    },
}


def caddys(config: object = None, backend: str = "app1:80", frontend: str = "example.org") -> Adopted:
    assert caddy.adopts is not None
    text = json.dumps(CADDYS if config is None else config)
    return caddy.adopts.adopt(text, Path("caddy.json"), Wanted(backend, frontend))


def filled(adopted: Adopted, *, tls: bool = False) -> dict[str, Any]:
    """Return what the template comes to, in a run with two backends and an edited route."""
    values: dict[str, object] = {
        "admin": "/run/admin.sock",
        "front": "127.0.0.1:8080",
        "folder": "/run",
        "hostname": "a.test",
        "backend": [{"address": "127.0.0.1:1030"}, {"address": "127.0.0.1:1031"}],
        "h2": True,
        "edit": True,
        "edited": "/e",
        "leads-to": "/to",
        "tls": tls,
        "tls-h2": tls,
        "certificate": "/run/c",
        "key": "/run/k",
        "protocol": [{"name": "h2"}, {"name": "http/1.1"}],
    }
    made: dict[str, Any] = json.loads(Template.parse("caddy.json", adopted.text).filled(values))
    return made


def test_of_caddys_the_site_is_the_front_and_its_upstreams_are_the_backends() -> None:
    adopted = caddys()
    made = filled(adopted)
    front = made["apps"]["http"]["servers"]["front"]
    assert (front["listen"], front["protocols"], front["idle_timeout"]) == (["127.0.0.1:8080"], ["h1", "h2c"], 120)
    assert front["automatic_https"] == {"disable": True}
    assert front.keys().isdisjoint({"tls_connection_policies", "logs", "listener_wrappers"})
    edited, before, site = front["routes"]
    assert (edited["@id"], edited["match"]) == ("edited", [{"path": ["/e"]}])
    assert before == CADDYS["apps"]["http"]["servers"]["main"]["routes"][0]
    assert site["match"] == [{"host": ["a.test", "www.example.org"]}]
    sockets, api, app = (route["handle"][0] for route in site["handle"][0]["routes"])
    assert api == {"handler": "reverse_proxy", "upstreams": [{"dial": "api:9"}]}
    assert sockets["upstreams"] == [{"dial": "127.0.0.1:1030"}, {"dial": "127.0.0.1:1031"}]
    assert ("@id" in sockets, app["@id"]) == (False, "app")
    assert [each["max_requests"] for each in app["upstreams"]] == [9, 9]
    assert (app["transport"], app["health_checks"]) == (
        {"protocol": "http", "dial_timeout": "2s"},
        {"active": {"uri": "/up"}},
    )
    assert app["headers"] == {"request": {"set": {"X": ["a @@ b"]}}}


def test_of_caddys_what_is_the_services_is_the_runs() -> None:
    made = filled(caddys())
    assert made["admin"]["listen"] == "unix//run/admin.sock"
    assert set(made) == {"admin", "logging", "apps"}
    assert "writer" not in made["logging"]["logs"]["default"]
    assert set(made["apps"]) == {"http", "events"}
    assert made["apps"]["http"]["servers"]["other"]["listen"] == ["unix//run/other-1.sock"]
    assert made["apps"]["http"]["servers"]["other"]["routes"] == [{"handle": []}]
    over_tls = filled(caddys(), tls=True)["apps"]
    assert over_tls["tls"] == {"certificates": {"load_files": [{"certificate": "/run/c", "key": "/run/k"}]}}
    assert over_tls["http"]["servers"]["front"]["tls_connection_policies"] == [{"alpn": ["h2", "http/1.1"]}]
    assert over_tls["http"]["servers"]["front"]["protocols"] == ["h1", "h2"]


def test_of_caddys_what_is_changed_is_told_with_the_line_as_caddy_prints_it() -> None:
    adopted = caddys()
    lines = adopted.adapted.splitlines()
    told = sorted(adopted.remarks, key=lambda each: each.line)
    assert [lines[each.line - 1].strip() for each in told] == [
        '"admin": {',
        '"storage": {',
        '"listen": [',
        '"listener_wrappers": [',
        '"tls_connection_policies": [',
        '"tls_connection_policies": [',
        "{",
        '"transport": {',
        '"active": {',
        '"upstreams": [',
        '"tls": {',
        '"pki": {',
        '"events": {',
    ]
    diff = list(adopted.difference("", "caddy.json"))
    assert diff[0] == "--- caddy.json, adapted"
    assert not any(line.startswith("-") and "dial_timeout" in line for line in diff)


@pytest.mark.parametrize(
    ("backend", "frontend", "said"),
    [
        ("", "example.org", r"say which reverse_proxy .*; there are: /ws/\* app1:80 app2:80; /api/\* api:9; app1:80"),
        ("nobody:1", "example.org", "say which reverse_proxy"),
        ("app1:80", "", "say which frontend the clients use .*old.example.org, .*example.org:443"),
        ("app1:80", "nobody.test", "no frontend 'nobody.test'"),
        ("app1:80", "old.example.org", "say which reverse_proxy .*none"),
    ],
)
def test_of_caddys_who_is_not_the_only_one_has_to_be_named(backend: str, frontend: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        caddys(backend=backend, frontend=frontend)


@pytest.mark.parametrize("frontend", ["https://example.org/", "example.org:8443", "www.example.org", "main", ":443"])
@pytest.mark.parametrize("backend", ["app1:80", "app2:80", "app1:80,app2:80", "/ws/*"])
def test_of_caddys_a_site_is_known_by_its_address_and_a_backend_by_an_upstream_or_a_path(
    frontend: str, backend: str
) -> None:
    if frontend in ("main", ":443"):  # whose first site is another
        with pytest.raises(UsageError, match="say which reverse_proxy"):
            caddys(backend=backend, frontend=frontend)
    else:
        assert '"@id": "app"' in caddys(backend=backend, frontend=frontend).text


def proxying(**handler: Any) -> dict[str, Any]:
    handle = {"handler": "reverse_proxy", "upstreams": [{"dial": "a:1"}], **handler}
    return {"apps": {"http": {"servers": {"s": {"listen": [":80"], "routes": [{"handle": [handle]}]}}}}}


def test_of_caddys_the_only_one_needs_no_name() -> None:
    made = filled(caddys(proxying(), "", ""))
    assert made["apps"]["http"]["servers"]["front"]["routes"][1]["handle"][0]["@id"] == "app"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no server of HTTP in it"),
        ({"apps": {"http": {"servers": [1]}}}, "it is not as Caddy's configurations are"),
        (proxying(upstreams=[]), r"caddy.json, adapted:\d+: its upstreams are looked up"),
        (proxying(dynamic_upstreams={"source": "srv"}), "its upstreams are looked up"),
        (proxying(transport={"protocol": "fastcgi"}), r"adapted:\d+: it speaks fastcgi to its upstreams, not HTTP"),
    ],
)
def test_of_caddys_what_cannot_be_adopted_is_refused(config: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        caddys(config, "", "")


def test_a_caddyfile_is_caddys_own_to_read(tmp_path: Path) -> None:
    program = tmp_path / "caddy"
    told = json.dumps(proxying())
    program.write_text(f"#!/bin/sh\ngrep -q wrong \"$5\" && echo 'Error: line 3' >&2 && exit 1\necho '{told}'\n")
    program.chmod(0o755)
    path = tmp_path / "Caddyfile"
    path.write_text("a.test {\n}\n")
    assert json.loads(adapted(program, "", path)) == proxying()
    path.write_text("wrong")
    with pytest.raises(UsageError, match="caddy adapt: Error: line 3"):
        adapted(program, "", path)
    with pytest.raises(UsageError, match=r"caddy adapt: .*No such file"):
        adapted(tmp_path / "none", "", path)
