"""A real ``nginx.conf`` made into a template: listening elsewhere, with other servers, and all else as it is.

What it includes stands in the template in place of the ``include``, where it has servers or upstreams; what it includes
besides, and modules that it loads, are named by their whole paths.

https://nginx.org/en/docs/beginners_guide.html#conf_structure
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from proxyreload.adoption.adopted import Adopted, Adopter, Remark, Wanted, chosen
from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import literal
from proxyreload.proxy.configuration import read

TOKEN = re.compile(
    r"""\#[^\n]*|[{};]|(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\$\{[^}]*\}|\\.|[^\s{};"'#])+""", re.DOTALL
)
#: Files that are included in one another, and in one file.
DEPTH_AT_MOST, INCLUDED_AT_MOST = 8, 50
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
#: On a line ``listen``: what is the front's own in a run, and what the clients do not speak.
OF_TLS, NOT_SPOKEN = ("ssl",), ("proxy_protocol", "quic")


@attrs.define(eq=False)
class Directive:
    """One directive, and where it stands in the text."""

    words: list[str]
    start: int
    end: int  #: behind its ``;`` or ``}``
    line: int
    within: "Directive | None"
    body: int = 0  #: where its block begins, behind the ``{``; 0: it has none

    @property
    def name(self) -> str:
        """Its first word."""
        return self.words[0]

    def inside(self, *names: str) -> bool:
        """Whether it stands right in blocks of these names, the outermost first."""
        within = self.within
        for name in reversed(names):
            if within is None or within.name != name:
                return False
            within = within.within
        return within is None


def parsed(text: str, path: Path) -> list[Directive]:
    """Return all directives; raises `UsageError` with the line of what is none."""
    found: list[Directive] = []
    words: list[str] = []
    within: Directive | None = None
    start = line = counted = 0
    for token in TOKEN.finditer(text):
        line += text.count("\n", counted, token.start())
        counted = token.start()
        if token[0].startswith("#"):
            continue
        if token[0] not in ("{", "}", ";"):
            start = token.start() if not words else start
            words.append(token[0])
            continue
        if token[0] == "}":
            if within is None or words:
                msg = f"{path}:{line + 1}: this block does not end as one does"
                raise UsageError(msg)
            within.end, within = token.end(), within.within
            continue
        if not words:
            msg = f"{path}:{line + 1}: {token[0]} ends nothing"
            raise UsageError(msg)
        made = Directive(words, start, token.end(), line + 1, within)
        found.append(made)
        words = []
        if token[0] == "{":
            made.body, within = token.end(), made
    if within is not None or words:
        msg = f"{path}:{line + 1}: a directive does not end"
        raise UsageError(msg)
    return found


def included(text: str, path: Path, depth: int = 0) -> str:
    """Return a text with what it includes in place of that, where servers or upstreams are in it."""
    pieces: list[str] = []
    position = 0
    for each in parsed(text, path):
        if each.name != "include" or len(each.words) != 2:  # noqa: PLR2004  (and what it includes)
            continue
        pattern = each.words[1].strip("\"'")
        files = sorted(path.parent.glob(pattern) if not pattern.startswith("/") else Path("/").glob(pattern[1:]))
        files = [file for file in files if file.is_file()]
        if len(files) > INCLUDED_AT_MOST or depth > DEPTH_AT_MOST:
            msg = f"{path}:{each.line}: it includes more files than can be"
            raise UsageError(msg)
        texts = {file: included(_text(file), file, depth + 1) for file in files}
        whole = "".join(f"# {file}\n{told}" for file, told in texts.items())
        pieces.append(text[position : each.start])
        if any(
            within.name in ("server", "upstream", "include") for told in texts.values() for within in parsed(told, path)
        ):
            pieces.append(whole)
        else:
            pieces.append(f"include {path.parent / pattern};")
        position = each.end
    return "".join([*pieces, text[position:]])


def _text(path: Path) -> str:
    (text,) = read(path).values()
    return text


@attrs.define
class Adoption:
    """One text being made a template."""

    path: Path
    text: str
    directives: Sequence[Directive]
    server: Directive  #: the clients'
    upstream: Directive
    lines_of: str = ""
    remarks: list[Remark] = attrs.field(factory=list)
    _changed: list[tuple[int, int, str]] = attrs.field(factory=list)
    _elsewhere: int = 0

    def template(self) -> Adopted:
        """Return it."""
        for each in self.directives:
            if not self._gone(each):
                self._adopt(each)
        self._insert_what_is_missing()
        pieces: list[str] = []
        position = 0
        for start, end, told in sorted(self._changed, key=lambda change: change[:2]):
            if start >= position:
                pieces += [literal(self.text[position:start]), told]
                position = end
        return Adopted("".join([*pieces, literal(self.text[position:])]), self.remarks, self.lines_of)

    def _adopt(self, each: Directive) -> None:
        if each.inside() and each.name in ("user", "daemon", "pid"):
            self._change(each, "")
        elif each.name == "master_process" and each.words[1:2] == ["off"]:
            msg = f"{self.path}:{each.line}: master_process off: nginx cannot be reloaded like that"
            raise UsageError(msg)
        elif each.name == "error_log" or (each.name == "access_log" and each.words[1:2] != ["off"]):
            self._change(each, "")
        elif each.inside() and each.name in ("stream", "mail"):
            self._change(each, "")
            self._say(each, f"{each.name} is left out: it listens for others")
        elif each.name == "load_module" and not each.words[1].startswith("/"):
            self._say(each, "left as it is: it is found where nginx was built to run, which is elsewhere")
        elif each.name.removesuffix("_temp_path") in TEMPORARY and each.name.endswith("_temp_path"):
            self._change(each, "")
        elif each.name == "listen" and each.inside("http", "server"):
            self._listen(each)
        elif each.within is self.server:
            self._of_the_front(each)
        elif each.within is self.upstream and each.name == "server":
            self._server(each)

    def _of_the_front(self, each: Directive) -> None:
        if each.name in ("ssl_certificate", "ssl_certificate_key", "ssl_client_certificate", "ssl_verify_client"):
            self._change(each, "")
        elif each.name == "return" and any("https://" in word for word in each.words):
            self._say(each, "what is asked for is redirected: its clients never reach a backend")

    def _listen(self, each: Directive) -> None:
        if each.within is not self.server:
            self._elsewhere += 1
            self._change(each, f"listen unix:@@folder@@/other-{self._elsewhere}.sock;")
            return
        own = [one for one in self.directives if one.name == "listen" and one.within is self.server]
        if each is not own[0]:
            self._change(each, "")
            self._say(each, "there is one front, where the first listen is")
            return
        words = [word for word in each.words[2:] if word not in (*OF_TLS, *NOT_SPOKEN, "default_server")]
        spoken = sorted({word for one in own for word in one.words[2:] if word in NOT_SPOKEN})
        if spoken:
            self._say(each, f"without {', '.join(spoken)}, which the clients do not speak")
        if any("ssl" in one.words for one in own) or any(
            one.name.startswith("ssl_certificate") and one.within is self.server for one in self.directives
        ):
            self._say(each, "TLS is spoken with --tls, by a certificate of the run's, without it in the clear")
        indent = " " * (each.start - self.text.rfind("\n", 0, each.start) - 1)
        told = [
            f"listen @@front@@@@if tls@@ ssl@@end@@{''.join(f' {literal(word)}' for word in words)};",
            "@@if tls@@",
            "ssl_certificate @@certificate@@; ssl_certificate_key @@key@@;",
            "@@end@@",
            "@@if edit@@",
            "location = @@edited@@ { return 302 @@leads-to@@; }",
            "@@end@@",
        ]
        self._change(each, f"\n{indent}".join(told))

    def _server(self, each: Directive) -> None:
        own = [one for one in self.directives if one.within is self.upstream and one.name == "server"]
        usual = [one for one in own if "backup" not in one.words] or own
        if each is not usual[0]:
            if each.words[2:] != usual[0].words[2:]:
                self._say(each, f"the servers differ: every backend is as the one in line {usual[0].line} is")
            self._change(each, "")
            return
        words = [literal(word) for word in each.words[2:] if word not in ("backup", "down", "resolve")]
        words = [word for word in words if not word.startswith("service=")]
        told = " ".join(["server @@address@@", *words])
        self._change(each, f"@@each backend@@{told}; @@end@@")

    def _insert_what_is_missing(self) -> None:
        first = "@@if root@@\nuser root;\n@@end@@\ndaemon @@daemon@@;\npid @@folder@@/nginx.pid;\n"
        self._changed.append((0, 0, f"{first}error_log @@folder@@/output.log notice;\n"))
        http = next(each for each in self.directives if each.name == "http")
        paths = " ".join(f"{name}_temp_path @@folder@@/{name};" for name in TEMPORARY)
        self._changed.append((http.body, http.body, f"\n    access_log off; {paths}"))

    def _change(self, each: Directive, told: str) -> None:
        self._changed.append((each.start, each.end, told))

    def _gone(self, each: Directive) -> bool:
        """Whether it stands in something that is left out."""
        outermost = each
        while outermost.within is not None:
            outermost = outermost.within
        return outermost is not each and outermost.name in ("stream", "mail")

    def _say(self, each: Directive, words: str) -> None:
        self.remarks.append(Remark(each.line, words))


def adopt(text: str, path: Path, wanted: Wanted) -> Adopted:
    """Return it as a template, whose lines are those of the file with what it includes.

    A frontend is a ``server`` by one of its names or what it listens at, a backend an ``upstream``. Raises `UsageError`
    with the line of what cannot be.
    """
    alone, text = text, included(text, path)
    directives = parsed(text, path)
    upstreams = {each.words[1]: each for each in directives if each.name == "upstream" and each.inside("http")}
    if not upstreams:
        msg = f"{path}: no upstream: a backend is one, to which proxy_pass leads (proxy_pass http://NAME)"
        raise UsageError(msg)
    servers: dict[str, Directive] = {}
    for server in directives:
        if server.name == "server" and server.inside("http"):
            for name in _names(server, directives):
                servers.setdefault(name, server)
    upstream = upstreams[chosen(path, "backend", wanted.backend, list(upstreams))]
    if not wanted.frontend and len({id(each) for each in servers.values()}) == 1:
        wanted = attrs.evolve(wanted, frontend=next(iter(servers)))
    server = servers[chosen(path, "frontend", wanted.frontend, list(servers))]
    if not any(each.name == "server" and each.within is upstream for each in directives):
        msg = f"{path}:{upstream.line}: upstream {upstream.words[1]} has no server"
        raise UsageError(msg)
    lines_of = "" if text == alone else ", with what it includes"
    return Adoption(path, text, directives, server, upstream, lines_of).template()


def _names(server: Directive, directives: Sequence[Directive]) -> Iterator[str]:
    for each in directives:
        if each.within is server and each.name in ("server_name", "listen"):
            yield from each.words[1:] if each.name == "server_name" else each.words[1:2]


adopter = Adopter(("nginx*.conf", "*.conf"), adopt)
