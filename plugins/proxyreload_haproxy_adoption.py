"""A real ``haproxy.cfg`` made into a template: listening elsewhere, with other servers, and all else as it is.

https://docs.haproxy.org/2.8/configuration.html#2.1
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import attrs

from proxyreload.adoption.adopted import Adopted, Adopter, Remark, Wanted, chosen
from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import literal

SECTIONS = frozenset(
    [
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "userlist",
        "peers",
        "resolvers",
        "mailers",
        "cache",
        "ring",
        "program",
        "http-errors",
        "fcgi-app",
        "log-forward",
        "crt-store",
        "traces",
        "log-profile",
        "acme",
    ]
)
#: Words, with quotes and escapes, and what is behind them.
WORD = re.compile(r"""(?:[^\s"'\\#]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""")
FRONTS, BACKS = ("frontend", "listen"), ("backend", "listen")

#: Of the section ``global``: what is the init system's or the service's own, and not this run's.
SERVICE = frozenset(
    [
        "daemon",
        "chroot",
        "user",
        "group",
        "uid",
        "gid",
        "pidfile",
        "master-worker",
        "log-send-hostname",
        "nbproc",
        "localpeer",
        "ulimit-n",
        "server-state-file",
        "server-state-base",
    ]
)
#: How many words follow one on a line ``bind`` or ``server``, of those that must not stay there.
ALONE = """
    ssl strict-sni allow-0rtt no-tls-tickets prefer-client-ciphers generate-certificates check-ssl no-check-ssl
    no-sslv3 no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13
    no-ssl-reuse
"""
WITH_ONE = """
    crt crt-list ca-file ca-verify-file crl-file verify alpn npn ciphers ciphersuites curves ecdhe ssl-min-ver
    ssl-max-ver ca-sign-file ca-sign-pass crt-ignore-err ca-ignore-err sni check-sni verifyhost tls-ticket-keys sigalgs
    client-sigalgs check-alpn
"""
OF_TLS: Mapping[str, int] = {**dict.fromkeys(ALONE.split(), 0), **dict.fromkeys(WITH_ONE.split(), 1)}
OF_BIND = {"accept-proxy": 0, "accept-netscaler-cip": 1, "interface": 1, "transparent": 0, "user": 1, "group": 1}
OF_BIND |= {"uid": 1, "gid": 1, "namespace": 1, "process": 1, "v6only": 0, "v4v6": 0}
OF_SERVER = {"send-proxy": 0, "send-proxy-v2": 0, "send-proxy-v2-ssl": 0, "send-proxy-v2-ssl-cn": 0, "id": 1}
OF_SERVER |= {"check-send-proxy": 0, "proxy-v2-options": 1, "backup": 0, "disabled": 0, "track": 1, "redir": 1}
OF_SERVER |= {"source": 1, "namespace": 1, "socks4": 1, "addr": 1, "port": 1}
EDIT = "@@if edit@@", "http-request redirect location @@leads-to@@ code 302 if { path @@edited@@ }", "@@end@@"
ADMIN = "stats socket @@admin@@ mode 600 level admin expose-fd listeners"


@attrs.frozen
class Line:
    """One line, in its section."""

    number: int
    text: str
    words: Sequence[str]
    section: str
    name: str  #: of the section
    usual: int  #: how many sections ``defaults`` have begun by then

    @property
    def first(self) -> str:
        """Its keyword, empty if it has none."""
        return self.words[0] if self.words else ""

    @property
    def indent(self) -> str:
        """The space before it."""
        return self.text[: len(self.text) - len(self.text.lstrip())]


@attrs.define
class Adoption:
    """One file being made a template."""

    path: Path
    lines: Sequence[Line]
    frontend: str
    backend: str
    out: list[str] = attrs.field(factory=list)
    remarks: list[Remark] = attrs.field(factory=list)
    _bound: bool = False
    _served: Line | None = None
    _admin: bool = False
    _elsewhere: int = 0

    def template(self) -> Adopted:
        """Return it."""
        if not any(line.first == "global" for line in self.lines):
            self.out += ["global", f"    {ADMIN}", ""]
            self._admin = True
        for line in self.lines:
            self._adopt(line)
        return Adopted("".join(f"{line}\n" for line in self.out), self.remarks)

    def _adopt(self, line: Line) -> None:
        front = line.section in FRONTS and line.name == self.frontend
        back = line.section in BACKS and line.name == self.backend
        if line.first in SECTIONS:
            self._begin(line)
        elif line.section == "program":
            self._drop(line, "")
        elif line.section == "global":
            self._global(line)
        elif line.first == "bind":
            self._bind(line, front=front)
        elif back and line.first in ("server", "server-template", "default-server", "source"):
            self._to_servers(line)
        elif line.first == "log" and line.words[1:2] != ["global"]:
            self._log(line)
        else:
            self._keep(line)
            if front:
                self._look(line)

    def _to_servers(self, line: Line) -> None:
        if line.first == "source":
            self._drop(line, "connections to backends have the usual source")
        elif line.first == "default-server":
            kept = self._without(line, line.words[1:], {**OF_TLS, **OF_SERVER}, "default-server")
            if kept:
                self.out.append(f"{line.indent}default-server{kept}")
        else:
            self._server(line)

    def _begin(self, line: Line) -> None:
        if line.section == "program":
            self._drop(line, "programs of HAProxy's are not started")
            return
        self._keep(line)
        if line.section == "peers":
            self._say(line, f"peers {line.name} is left as it is: it may listen, and connect to others")
        if line.section == "global" and not self._admin and not self._has_admin():
            self.out.append(f"    {ADMIN}")
            self._admin = True

    def _global(self, line: Line) -> None:
        if line.words[:2] == ["stats", "socket"]:
            self._socket(line)
        elif line.first == "log":
            self._log(line)
        elif line.first in SERVICE or line.words[:2] == ["stats", "bind-process"]:
            self._drop(line, "")
        else:
            self._keep(line)

    def _log(self, line: Line) -> None:
        """Let what is an error be said where all is that HAProxy says; without any log it would warn of formats."""
        self.out.append(f"{line.indent}log stdout format raw daemon alert")

    def _socket(self, line: Line) -> None:
        if self._admin:
            self._drop(line, "one socket of the runtime API is enough")
            return
        self._admin = True
        kept = self._without(
            line, line.words[3:], {"user": 1, "group": 1, "uid": 1, "gid": 1, "level": 1, "process": 1}, ""
        )
        exposed = "" if "expose-fd" in line.words else " expose-fd listeners"
        if exposed:
            self._say(line, "expose-fd listeners is added: by it a new process takes the listening sockets over")
        self.out.append(f"{line.indent}stats socket @@admin@@{kept} level admin{exposed}")

    def _has_admin(self) -> bool:
        return any(line.section == "global" and line.words[:2] == ["stats", "socket"] for line in self.lines)

    def _bind(self, line: Line, *, front: bool) -> None:
        if not front:
            self._elsewhere += 1
            kept = self._without(line, line.words[2:], {**OF_TLS, **OF_BIND}, "")
            self.out.append(f"{line.indent}bind unix@@@folder@@/other-{self._elsewhere}.sock{kept}")
            return
        if self._bound:
            self._drop(line, "there is one front, where the first bind is")
            return
        self._bound = True
        binds = [
            each for each in self.lines if each.first == "bind" and each.section in FRONTS and each.name == line.name
        ]
        tls = next((each for each in binds if "ssl" in each.words), None)
        kept = self._without(line, line.words[2:], {**OF_TLS, **OF_BIND}, "")
        if foreign := [word for each in binds for word in each.words[2:] if word in ("accept-proxy", "interface")]:
            self._say(
                line, f"without {', '.join(dict.fromkeys(foreign))}: the clients come straight, over the loopback"
            )
        secured = " ssl crt @@certificate-and-key@@ alpn @@each protocol@@@@name@@@@between@@,@@end@@"
        if tls is not None:
            self._say(tls, "TLS is spoken with --tls, by a certificate of the run's, without it in the clear")
            secured = self._offering(tls)
        self.out.append(f"{line.indent}bind @@front@@@@if tls@@{secured}@@end@@{kept}")
        self.out += [f"{line.indent}{each}" for each in EDIT]

    def _offering(self, line: Line) -> str:
        """Return what the front says of TLS: its own words but for certificates, and what it asks of clients."""
        words, mine = (
            list(line.words[2:]),
            {"crt": 1, "crt-list": 1, "ca-file": 1, "verify": 1, "crl-file": 1, "ssl": 0},
        )
        if "verify" in words or "ca-file" in words:
            self._say(line, "clients are asked for no certificate: they have none")
        kept: list[str] = []
        while words:
            word = words.pop(0)
            more = [words.pop(0) for _each in range(OF_TLS.get(word, 0)) if words]
            if word in OF_TLS and word not in mine:
                kept += [word, *more]
        return " ".join([" ssl crt @@certificate-and-key@@", *map(literal, kept)])

    def _server(self, line: Line) -> None:
        if "backup" in line.words and self._usual_server(line):
            self._drop(line, "a backup is no backend of the run's")
            return
        if self._served is not None:
            if _usual(line) != _usual(self._served):
                self._say(line, f"the servers differ: every backend is as the one in line {self._served.number} is")
            self._drop(line, "")
            return
        self._served = line
        skip = 4 if line.first == "server-template" else 3
        kept = self._without(line, line.words[skip:], {**OF_TLS, **OF_SERVER, "cookie": 1}, "server")
        cookie = " cookie @@name@@" if "cookie" in line.words else ""
        self.out += [
            f"{line.indent}@@each backend@@",
            f"{line.indent}server @@name@@ @@address@@{kept}{cookie}",
            f"{line.indent}@@end@@",
        ]

    def _usual_server(self, line: Line) -> bool:
        """Whether its section has a server that is no backup."""
        same = (each for each in self.lines if (each.section, each.name) == (line.section, line.name))
        return any(each.first in ("server", "server-template") and "backup" not in each.words for each in same)

    def _look(self, line: Line) -> None:
        """Say what of the clients' frontend may keep them from the backend."""
        if line.first == "default_backend" and line.words[1:2] != [self.backend]:
            self._say(line, f"what no rule sends elsewhere goes to another backend than {self.backend}")
        if "redirect" in line.words and "scheme" in line.words and "https" in line.words:
            self._say(line, "what comes in the clear is redirected: run it with --tls")

    def _without(self, line: Line, words: Sequence[str], away: Mapping[str, int], told: str) -> str:
        """Return a line's words but for some, a space before each; what goes is said if it is `told` where."""
        left = list(words)
        kept: list[str] = []
        gone: list[str] = []
        while left:
            word = left.pop(0)
            more = [left.pop(0) for _each in range(away.get(word, 0)) if left]
            (gone if word in away else kept).append(" ".join([word, *more]))
        if gone and told:
            spoken = [each for each in gone if each.split(" ")[0] not in ("id", "cookie")]
            if spoken:
                self._say(line, f"{told}: without {', '.join(spoken)}: the run's backends speak plain HTTP")
        return "".join(f" {literal(each)}" for each in kept)

    def _keep(self, line: Line) -> None:
        self.out.append(literal(line.text))

    def _drop(self, line: Line, words: str) -> None:
        self.out.append(f"{line.indent}# {literal(line.text.strip())}")
        if words:
            self._say(line, words)

    def _say(self, line: Line, words: str) -> None:
        self.remarks.append(Remark(line.number, words))


def _usual(server: Line) -> list[str]:
    """Return what a line says of a server that is not its alone."""
    words, usual = list(server.words[3:]), []
    while words:
        word = words.pop(0)
        if word in ("cookie", "id") and words:
            words.pop(0)
        else:
            usual.append(word)
    return usual


def parsed(text: str) -> list[Line]:
    """Return the lines, each with its words and its section."""
    lines: list[Line] = []
    section, name, usual = "", "", 0
    for number, each in enumerate(text.splitlines(), 1):
        words = [] if each.lstrip().startswith("#") else WORD.findall(each.partition(" #")[0])
        if words and words[0] in SECTIONS:
            section, name = words[0], words[1] if len(words) > 1 else ""
            usual += section == "defaults"
        lines.append(Line(number, each, words, section, name, usual))
    return lines


def adopt(text: str, path: Path, wanted: Wanted) -> Adopted:
    """Return it as a template.

    Raises `UsageError` with the line of what cannot be: which frontend or backend, one without a place to listen, or a
    server, one that speaks no HTTP.
    """
    lines = parsed(text)
    frontend = chosen(path, "frontend", wanted.frontend, _names(lines, FRONTS))
    backend = chosen(path, "backend", wanted.backend, _names(lines, BACKS))
    _require(path, lines, FRONTS, frontend, ("bind",), "nothing in it listens: there is no bind")
    _require(path, lines, BACKS, backend, ("server", "server-template"), "it has no server")
    for sections, name in ((FRONTS, frontend), (BACKS, backend)):
        _require_http(path, lines, sections, name)
    return Adoption(path, lines, frontend, backend).template()


def _names(lines: Sequence[Line], sections: Collection[str]) -> list[str]:
    return [line.name for line in lines if line.first in sections and line.first == line.section]


def _require(
    path: Path, lines: Sequence[Line], sections: Collection[str], name: str, keywords: Collection[str], complaint: str
) -> None:
    own = [line for line in lines if line.section in sections and line.name == name]
    if not any(line.first in keywords for line in own):
        msg = f"{path}:{own[0].number}: {own[0].section} {name}: {complaint}"
        raise UsageError(msg)


def _require_http(path: Path, lines: Sequence[Line], sections: Collection[str], name: str) -> None:
    """Raise `UsageError` if it speaks no HTTP: HAProxy's mode is ``tcp`` unless something says otherwise."""
    own = [line for line in lines if line.section in sections and line.name == name]
    usual = [line for line in lines if line.section == "defaults" and line.usual == own[0].usual]
    modes = [line for line in (*usual, *own) if line.first == "mode"]
    if not modes or modes[-1].words[1:2] != ["http"]:
        number = modes[-1].number if modes else own[0].number
        msg = f"{path}:{number}: {own[0].section} {name} is no mode http: the clients speak nothing else"
        raise UsageError(msg)


adopter = Adopter(("haproxy*.cfg", "*.cfg"), adopt)
