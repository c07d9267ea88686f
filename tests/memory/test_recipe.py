"""What a plugin tells others to do is what it does itself."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from proxyreload.errors import CannotError
from proxyreload.proxy.authority import FrontCertificate
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.interfaces import Mechanism
from proxyreload.proxy.recipe import Ask, Command, Recipe
from proxyreload.proxy.registry import choose, installed, load
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace

from .authority import authority
from .plugins import FakeProxy

FRONT, TIMEOUT_S = "127.0.0.1:8080", 77
UPSTREAMS = [Upstream(number, "127.0.0.1", 1030 + number) for number in (0, 3)]
FIRST, SECOND = UPSTREAMS
REPRODUCIBLE = [
    *("nginx:reload", "nginx:reload-min-timeout", "nginx:restart"),
    *("haproxy:reload", "haproxy:reload-idle", "haproxy:reload-redispatch", "haproxy:reload-rebind"),
    *("haproxy:hard", "haproxy:master-worker", "haproxy:restart"),
    *("caddy:api", "caddy:load", "caddy:signal", "caddy:restart"),
    *("sozu:runtime", "sozu:upgrade", "sozu:upgrade-workers", "sozu:restart"),
    *("traefik:file", "traefik:restart"),
    *("envoy:file", "envoy:restart"),
    *("lighttpd:reload", "lighttpd:reload-bg", "lighttpd:restart"),
    *("nghttpx:api", "nghttpx:reload", "nghttpx:restart"),
    *("httpd:graceful", "httpd:graceful-worker", "httpd:graceful-prefork", "httpd:hard", "httpd:restart"),
]
#: Programs that are not named as their plugins are.
PROGRAMS = {"httpd": "apache2"}


@attrs.define(eq=False)
class Desk:
    """A place to write at, without a process."""

    folder: Path
    front: str = FRONT
    front_host: str = "127.0.0.1"
    hostname: str = "proxyreload.test"
    idle_timeout_s: int = TIMEOUT_S
    whole_timeout_s: int = 60
    binary: Path = Path("/bin/it")
    homes: Mapping[str, str] = attrs.field(factory=dict)
    reactor: Any = None
    tls: FrontCertificate | None = None
    route: None = None
    speaks: frozenset[str] = frozenset()
    configuration: Configuration = Configuration({})  # noqa: RUF009  (it is never another)
    started: list[list[str]] = attrs.field(factory=list)

    configure, filled = Workspace.configure, Workspace.filled

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, text: str, *, secret: bool = False) -> Path:
        self.path(name).write_text(text, encoding="utf-8")
        if "PRIVATE KEY" in text:
            assert secret
        return self.path(name)

    def link(self, name: str, target: Path) -> Path:
        assert target
        return self.path(name)

    def remove_too(self, path: Path) -> None:
        """Leave what is outside alone."""

    def spawn(self, *arguments: object, **_how: object) -> None:
        self.started.append([str(argument).replace(f"{self.folder}/", "") for argument in arguments])

    async def until_answering(self, child: object) -> None:
        """Have what was started answer at once."""

    async def until(self, holds: object, what: str) -> None:
        """Have whatever is waited for happen at once."""

    async def run(self, *words: object) -> None:
        """Copy a program, and run nothing else."""
        if words[0] == "cp":
            self.write(Path(str(words[-1])).name, "")


def recipe_of(name: str) -> Recipe:
    recipe = choose(name).mechanism.recipe
    assert recipe is not None
    return recipe


def started(name: str, desk: Desk) -> None:
    """Let the plugin start its proxy at a desk."""
    desk.configuration = choose(name).mechanism.configuration or desk.configuration
    starting = cast(Any, choose(name).mechanism.proxy)(desk).start(UPSTREAMS)
    with pytest.raises(StopIteration):
        starting.send(None)


@pytest.mark.parametrize("name", REPRODUCIBLE)
def test_the_configuration_is_what_the_plugin_writes(name: str, tmp_path: Path) -> None:
    started(name, Desk(tmp_path))
    here = {
        str(path.relative_to(tmp_path)): _relative(path.read_text(encoding="utf-8"), tmp_path)
        for path in tmp_path.rglob("*")
        # Who knows the secret of a run asks Traefik's API; sozu starts from a copy of the program.
        if path.is_file() and path.name not in ("admin.yml", "it")
    }
    told = recipe_of(name).configured(FRONT, TIMEOUT_S, UPSTREAMS)
    assert {file: _relative(text, tmp_path) for file, text in told.items()} == here


#: What a front that speaks TLS is told, by the plugin's name: where its certificate is, and what it offers.
OVER_TLS = {
    "haproxy": ["bind 127.0.0.1:8080 ssl crt tls/both.pem alpn h2,http/1.1"],
    "nginx": ["listen 127.0.0.1:8080 ssl;", "http2 on;", "ssl_certificate tls/certificate.pem;", "_key tls/key.pem;"],
    "caddy": ['"certificate": "tls/certificate.pem"', '"key": "tls/key.pem"', '"h2"', '"http/1.1"'],
    "traefik": ['"certFile": "tls/certificate.pem", "keyFile": "tls/key.pem"', "http: {tls: {}}", '["h2", "http/1.1"]'],
    "envoy": ['path: "sds.json"', "DownstreamTlsContext", 'alpn_protocols: ["h2", "http/1.1"]', "codec_type: AUTO"],
    "lighttpd": ['ssl.engine = "enable"\nssl.pemfile = "tls/both.pem"\n', '"mod_redirect", "mod_openssl", "mod_proxy"'],
    "nghttpx": ["frontend=127.0.0.1,8080\nprivate-key-file=tls/key.pem\ncertificate-file=tls/certificate.pem\n"],
    "squid": ["https_port 127.0.0.1:8080 accel vhost tls-cert=tls/certificate.pem tls-key=tls/key.pem\n"],
    "httpd": ["SSLEngine on", "SSLCertificateFile tls/certificate.pem", "SSLCertificateKeyFile tls/key.pem"],
    "sozu": ['protocol = "https"', 'certificate = "tls/certificate.pem", key = "tls/key.pem"', '["h2", "http/1.1"]'],
}


@pytest.mark.parametrize("name", [*REPRODUCIBLE, "haproxy:runtime", "haproxy:slots", "squid:reconfigure"])
def test_a_front_that_speaks_tls_is_told_so(name: str, tmp_path: Path) -> None:
    tls = FrontCertificate(tmp_path / "tls", authority())
    started(name, Desk(tmp_path, tls=tls))
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tls.folder]
    text = "\n".join(_relative(path.read_text(encoding="utf-8"), tmp_path) for path in written)
    for words in OVER_TLS[name.partition(":")[0]]:
        assert words in text
    assert choose(name).mechanism.no_tls == ""
    assert choose(name).mechanism.why_not("rotate") == ""


def test_what_cannot_speak_tls_says_so() -> None:
    assert choose("control:faults").mechanism.no_tls == "what it does to its clients it does to plain sockets"
    assert choose("varnish:restart").mechanism.no_tls.startswith("Varnish speaks no TLS"), "as what it starts"
    with pytest.raises(CannotError, match="control:faults cannot speak TLS: what it does"):
        choose("control:faults").require([], tls=True)
    assert Mechanism("old", "", lambda _workspace: FakeProxy()).no_tls == "its plugin knows no way"


def _relative(text: str, folder: Path) -> str:
    """Return a text of paths that are relative, without a port or a version that is another each time."""
    text = re.sub(rf"{folder}/|\./", "", text.replace(f"{folder};", "."))
    text = re.sub(r'(admin: \{address: "127\.0\.0\.1:)\d+', r"\1", text)
    return re.sub(r'"version_info": "\d+"', "", text)


@pytest.mark.parametrize("name", REPRODUCIBLE)
def test_the_program_is_started_as_the_plugin_starts_it(name: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    started(name, desk)
    recipe = recipe_of(name)
    plugin = name.partition(":")[0]
    assert recipe.program == PROGRAMS.get(plugin, plugin)
    (words,) = desk.started
    assert [word.removeprefix(str(tmp_path)) or "." for word in words[1:]] == list(recipe.arguments)


@pytest.mark.parametrize("name", REPRODUCIBLE)
def test_there_is_one_way_to_change_it_or_it_follows_its_files(name: str) -> None:
    recipe = recipe_of(name)
    ways = [recipe.stop, recipe.signal, recipe.successor, recipe.steps(UPSTREAMS, [FIRST])]
    assert sum(map(bool, ways)) == (name not in ("traefik:file", "envoy:file"))


def test_every_other_mechanism_has_none() -> None:
    names = [
        f"{plugin.name}:{mechanism.name}"
        for plugin in map(load, installed().values())
        for mechanism in plugin.mechanisms
    ]
    assert {name for name in names if choose(name).mechanism.recipe is not None} == set(REPRODUCIBLE)


@pytest.mark.parametrize(
    ("name", "before", "after", "asked"),
    [
        ("caddy:api", [FIRST], UPSTREAMS, [("POST", "/id/app/upstreams", '{"dial": "127.0.0.1:1033"}', "")]),
        ("caddy:api", UPSTREAMS, [FIRST], [("DELETE", "/id/app/upstreams/1", "", "")]),
        ("caddy:api", UPSTREAMS, UPSTREAMS, [("POST", "/load", "", "caddy.json")]),
        ("caddy:load", UPSTREAMS, [FIRST], [("POST", "/load", "", "caddy.json")]),
    ],
)
def test_what_caddy_is_asked(name: str, before: Sequence[Upstream], after: Sequence[Upstream], asked: object) -> None:
    steps = [step for step in recipe_of(name).steps(before, after) if isinstance(step, Ask)]
    assert [(step.method, step.path, step.body, step.file) for step in steps] == asked
    forced = "Cache-Control" in steps[0].fields
    assert forced == (before == after)
    (text,) = recipe_of(name).configured(FRONT, TIMEOUT_S, before).values()
    assert json.loads(text)["admin"]["listen"] == f"unix/{steps[0].socket}"


def test_what_sozu_is_told() -> None:
    def told(name: str, before: Sequence[Upstream], after: Sequence[Upstream]) -> list[str]:
        steps = [step for step in recipe_of(name).steps(before, after) if isinstance(step, Command)]
        return [" ".join(step.words).removesuffix(" --config sozu.toml --timeout 30000") for step in steps]

    removed = f"backend remove --id app --backend-id {FIRST.name} --address 127.0.0.1:1030"
    assert told("sozu:runtime", UPSTREAMS, [SECOND]) == [removed]
    assert told("sozu:upgrade", UPSTREAMS, [SECOND]) == [removed, "upgrade"]
    assert told("sozu:upgrade", [FIRST], UPSTREAMS) == ["reload --file sozu.toml", "upgrade"]
    workers = ["upgrade --worker 0", "upgrade --worker 1"]
    assert told("sozu:upgrade-workers", [FIRST], UPSTREAMS) == ["reload --file sozu.toml", *workers]
