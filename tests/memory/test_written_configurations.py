"""Configurations of proxies that read theirs anew: filled in they are whole, and what is missing in one is told."""

from collections.abc import Mapping
from itertools import product

import pytest

from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import Values
from proxyreload.proxy.configuration import values
from proxyreload.proxy.registry import Choice, choose
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload_httpd_config import balancers

UPSTREAMS = [Upstream(number, "127.0.0.1", 1030 + number) for number in (0, 3)]
#: What the plugins give to the marks that are theirs.
OWN: Mapping[str, Values] = {
    "squid": {"log": "/dev/stderr", "pages": ""},
    "lighttpd": {"log": "/dev/stderr"},
    "nghttpx": {"api": "a", "pid-file": "p", "backends": "b"},
    "httpd": {
        "modules": "/modules",
        "websocket": True,
        "manager": "/secret",
        "nonce": "secret",
        "growth": 9,
        "asked": "127.0.0.1:81",
        "map": "/maps/app.txt",
    },
    "varnish": {},
    "pingap": {"generation": 1},
    "trafficserver": {"log": "E", "hosts": "/hosts"},
}
CHOICES = [Choice(choose(name).plugin, each) for name in OWN for each in choose(name).plugin.mechanisms]
SECURED = {"certificate": "c.pem", "key": "k.pem", "certificate-and-key": "ck.pem", "protocol": [{"name": "h2"}]}


def filled(choice: Choice, *, tls: bool, edit: bool, root: bool) -> Mapping[str, str]:
    """Return the texts of a mechanism's files as they are run."""
    configuration = choice.mechanism.configuration
    assert configuration is not None
    how = {"hostname": "app.test", "whole_timeout_s": 66, "root": root, "speaks": ("HTTP/2", "gRPC", "WebSocket")}
    route = Route(1) if edit else None
    common = values("127.0.0.1:8080", 77, UPSTREAMS, folder="/run/it", route=route, **how)  # type: ignore[arg-type]
    secured = {"tls": True, "tls-h2": True, **SECURED} if tls else {}
    return configuration.filled({**common, **secured, **OWN[choice.plugin.name]})


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_its_own_is_whole_whatever_is_asked_of_it(choice: Choice) -> None:
    configuration = choice.mechanism.configuration
    can_edit = configuration is not None and configuration.edits is not None
    for tls, edit, root in product((False, True), repeat=3):
        text = "\n".join(filled(choice, tls=tls and not choice.mechanism.no_tls, edit=edit, root=root).values())
        assert "@@" not in text
        for upstream in UPSTREAMS:
            assert str(upstream.port) in text
        assert ("k.pem" in text) == (tls and not choice.mechanism.no_tls)
        assert ("/proxyreload-edited-1" in text) == (edit and can_edit)


#: What somebody has, and what is said of it, for the file that the proxy is started with unless another is named.
SQUID = """\
http_port @@front@@ accel vhost
@@each backend@@
cache_peer @@host@@ parent @@port@@ 0 originserver
@@end@@
cache_log @@log@@
"""
LIGHTTPD = """\
server.port = @@front-port@@
proxy.server = ("" => (
@@each backend@@
    ("host" => "@@host@@", "port" => @@port@@),
@@end@@
))
"""
NGHTTPX = "frontend=@@front-host@@,@@front-port@@;no-tls\ninclude=@@backends@@\n"
WITH_PID = f"{NGHTTPX}pid-file=@@pid-file@@\n"
HTTPD = """\
Listen @@front@@
<Proxy balancer://site>
    @@each backend@@
    BalancerMember http://@@address@@ retry=0
    @@end@@
</Proxy>
"""
MANAGED = HTTPD.replace("</Proxy>", "ProxySet growth=@@growth@@ nonce=@@nonce@@\n</Proxy>\n<Location @@manager@@>")
VCL = """\
vcl 4.1;
backend one { .host = "10.0.0.1"; }
@@each backend@@
backend b@@number@@ { .host = "@@host@@"; .port = "@@port@@"; }
@@end@@
"""
RECORDS = "CONFIG proxy.config.http.server_ports STRING @@front-port@@:ip-in=@@front-host@@\n"
LOGGING = f"{RECORDS}CONFIG proxy.config.diags.output.note STRING @@log@@\n"
FOUND = f"{LOGGING}CONFIG proxy.config.hostdb.host_file.path STRING @@hosts@@\n"
LACKING = [
    (
        "trafficserver:parent",
        "CONFIG proxy.config.http.server_ports STRING 80",
        "mine:1: 'CONFIG proxy.config.http.server_",
    ),
    (
        "trafficserver:parent/parent.config",
        'dest_domain=. parent="a:80"',
        'parent="a:80"\' has no marker backend, each',
    ),
    (
        "trafficserver:parent",
        f"{RECORDS}CONFIG proxy.config.diags.output.note STRING L",
        "note STRING L' has no marker log",
    ),
    ("trafficserver:host", LOGGING, "mine: no marker hosts, the path of a file that has an address for each backend's"),
    (
        "trafficserver:host/parent.config",
        'dest_domain=. parent="@@each backend@@@@address@@@@between@@,@@end@@"',
        "mine: no parent in parent.config is called @@name@@.test:@@port@@, which is what traffic_ctl host is told: ",
    ),
    (
        "varnish:vcl",
        VCL.partition("@@")[0],
        "mine:2: 'backend one { .host = \"10.0.0.1\"; }' has no marker backend, each backend that is behind",
    ),
    (
        "varnish:health",
        VCL,
        "mine: no backend is called @@name@@, which is what backend.set_health is told: backend @@name@@",
    ),
    ("httpd:graceful", HTTPD.replace("@@front@@", "80"), "mine:1: 'Listen 80' has no marker front, where it listens"),
    (
        "httpd:graceful",
        "Listen @@front@@\n<Proxy balancer://a>",
        ":2: '<Proxy balancer://a>' has no marker backend, each",
    ),
    (
        "httpd:manager",
        HTTPD,
        "mine: no marker manager, the path of the balancer-manager, which is drawn for each run: in",
    ),
    ("httpd:manager", f"{HTTPD}#@@manager@@", "mine:2: '<Proxy balancer://site>' has no marker nonce, what a balancer"),
    ("httpd:manager", MANAGED.replace("growth=@@growth@@", ""), ":2: '<Proxy balancer://site>' has no marker growth"),
    (
        "httpd:manager",
        MANAGED.replace("BalancerMember", "Member"),
        "mine: no <Proxy balancer://NAME> has BalancerMember",
    ),
    (
        "httpd:map",
        f"{HTTPD}RewriteMap app rnd:/x",
        "mine:7: 'RewriteMap app rnd:/x' has no marker map, the path of the",
    ),
    ("nghttpx", "frontend=*,80\n", "mine:1: 'frontend=*,80' has no marker front-port, the port at which it listens: "),
    (
        "nghttpx",
        NGHTTPX.replace("include=@@backends@@", "backend=a,1"),
        "mine:2: 'backend=a,1' has no marker backends, the",
    ),
    ("nghttpx/backends.conf", "backend=127.0.0.1,80;/", "mine:1: 'backend=127.0.0.1,80;/' has no marker backend, each"),
    ("nghttpx:reload", NGHTTPX, "mine: no marker pid-file, where the main process writes its pid"),
    (
        "nghttpx:api",
        f"{WITH_PID}frontend=a,2;api",
        "mine:4: 'frontend=a,2;api' has no marker api, the socket of the API",
    ),
    ("lighttpd", LIGHTTPD.replace("@@front-port@@", "80"), ":1: 'server.port = 80' has no marker front-port, the port"),
    ("lighttpd", "server.port = @@front-port@@\nproxy.server = ()", ":2: 'proxy.server = ()' has no marker backend, "),
    ("lighttpd", LIGHTTPD, "mine: no marker log, where it says that it has started again, which is waited for: "),
    (
        "lighttpd",
        f'{LIGHTTPD}server.errorlog = "/x"',
        """mine:7: 'server.errorlog = "/x"' has no marker log, where it""",
    ),
    ("lighttpd", f'{LIGHTTPD}server.errorlog = "@@log@@"', "mine:2: 'proxy.server = (\"\" => (' has no marker edited"),
    (
        "lighttpd:reload-bg",
        f'{LIGHTTPD}server.errorlog = "@@log@@"',
        "mine: no server.graceful-restart-bg in it, without",
    ),
    ("squid", SQUID.replace("@@front@@", "80"), "'http_port 80 accel vhost' has no marker front, "),
    ("squid", "http_port @@front@@\ncache_peer 10.0.0.1 parent 80 0\n", ":2: 'cache_peer 10.0.0.1 parent 80 0' has no"),
    ("squid", "http_port @@front@@ accel\n", "mine: no marker backend, "),
    (
        "squid",
        SQUID.replace("@@log@@", "/x"),
        "mine:5: 'cache_log /x' has no marker log, where it says that it listens",
    ),
    ("squid", f"{SQUID}http_access allow all", "mine:6: 'http_access allow all' has no marker edited, the path of an"),
]


@pytest.mark.parametrize(("name", "text", "complaint"), LACKING)
def test_what_it_cannot_do_without_is_told_with_line_and_remedy(name: str, text: str, complaint: str) -> None:
    mechanism, _colon, file = name.partition("/")
    own = choose(mechanism).mechanism.configuration
    assert own is not None
    with pytest.raises(UsageError) as raised:
        own.with_files({file or own.main: text}, "mine").require(["edit"], tls=False)
    assert complaint in str(raised.value)
    assert str(raised.value).rpartition(": ")[2], "there is a remedy"


@pytest.mark.parametrize(
    ("name", "text"), [("squid", SQUID.replace("@@log@@", "/x")), ("lighttpd", LIGHTTPD), ("nghttpx", NGHTTPX)]
)
def test_what_is_started_anew_need_not_say_what_a_reload_waits_for(name: str, text: str) -> None:
    own = choose(f"{name}:restart").mechanism.configuration
    assert own is not None
    assert own.with_files({own.main: text}, "mine").source == "mine"


def test_a_manager_is_asked_in_the_clear_where_the_front_speaks_tls() -> None:
    own = choose("httpd:manager").mechanism.configuration
    assert own is not None
    mine = own.with_files({"httpd.conf": f"{MANAGED}@@if tls@@@@certificate@@@@end@@"}, "mine")
    mine.require(["add"], tls=False)
    with pytest.raises(UsageError, match="mine:1: 'Listen @@front@@' has no marker asked, where the manager is"):
        mine.require(["add"], tls=True)


def test_members_are_added_to_the_balancers_that_have_all_backends() -> None:
    own = choose("httpd:manager").mechanism.configuration
    assert own is not None
    assert balancers(own.texts) == {"balancer://app": "http", "balancer://calls": "h2c", "balancer://sessions": "ws"}
    more = '<Proxy "balancer://other/">\nBalancerMember http://10.0.0.1\n</Proxy>\n'
    more += '<Proxy "balancer://third/">\n@@each backend@@\nBalancerMember "h2c://@@host@@:@@port@@"\n@@end@@\n</Proxy>'
    assert balancers({"a": HTTPD, "b": more}) == {"balancer://site": "http", "balancer://third": "h2c"}
