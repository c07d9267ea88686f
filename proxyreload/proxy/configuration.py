"""What a proxy is run from: templates of a plugin's own, or the user's in their stead."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from proxyreload.errors import UsageError
from proxyreload.history.actions import EDIT
from proxyreload.proxy.configtemplate import TEXT_AT_MOST, Template, Values, remark
from proxyreload.proxy.recipe import HOSTNAME, Configured, Texts
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import read_some

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate

#: What the time-outs for a whole request are, unless the traffic is slower.
TIMEOUT_S = 60
#: Files of one configuration.
FILES_AT_MOST = 100


@attrs.frozen
class Mark:
    """A marked place: what stands there, and what is to be done where it is missing and cannot be done without."""

    name: str
    what: str  #: in a line
    remedy: str = ""  #: what is to be written, and where
    like: str = ""  #: what a line looks like in which it may belong
    file: str = ""  #: the one of several files that it must stand in; empty: any


FRONT = Mark("front", "where it listens, host:port; front-host and front-port are its parts")
BACKEND = Mark(
    "backend",
    "each backend that is behind it: @each backend@ … @end@, with between before what stands between two; in it name, "
    "address (host:port), host, port and number",
)
#: What every plugin's configuration can have.
COMMON = (
    FRONT,
    BACKEND,
    Mark("hostname", "the name that clients ask for"),
    Mark("folder", "the folder that it runs in, which is this run's alone"),
    Mark("timeout", "seconds between two bytes or two requests, longer than any rest of the clients; whole-timeout"),
    Mark("tls", "whether it speaks TLS (--tls): certificate, key, certificate-and-key (paths), @each protocol@ (name)"),
    Mark("h2", "whether clients speak HTTP/2; grpc: whether some of them make calls of gRPC"),
    Mark(
        "edit", "whether an unrelated route is there (--change edit): edited is its path, leads-to where it redirects"
    ),
    Mark("root", "whether it is run by root"),
)
_NAMES = frozenset(
    [
        "front",
        "front-host",
        "front-port",
        "backend",
        "name",
        "address",
        "host",
        "port",
        "number",
        "free",
        "hostname",
        "folder",
        "timeout",
        "whole-timeout",
        "tls",
        "certificate",
        "key",
        "certificate-and-key",
        "protocol",
        "h2",
        "tls-h2",
        "grpc",
        "edit",
        "edited",
        "leads-to",
        "root",
    ]
)
_OF_TLS = ("certificate", "certificate-and-key", "secret")


@attrs.frozen
class Configuration:
    """The files of one mechanism's, the main one first, as templates by their names."""

    templates: Mapping[str, Template]
    marks: Sequence[Mark] = ()  #: what it has besides the common ones
    needs: Sequence[Mark] = ()  #: what the mechanism cannot do without
    edits: Mark | None = None  #: without which nothing can be edited, where there is one
    names: Callable[[Mapping[str, str]], None] | None = None  #: raises `UsageError` for texts that it cannot run from
    source: str = ""  #: where it is from; empty: it is the plugin's own
    over_tls: Sequence[Mark] = ()  #: what the mechanism cannot do without where the front speaks TLS
    secret: bool = (
        False  #: whether this user alone may read the files: they have a key, or what lets others change the proxy
    )

    @classmethod
    def of(
        cls,
        texts: Mapping[str, str],
        marks: Sequence[Mark] = (),
        needs: Sequence[Mark] = (),
        *,
        edits: Mark | None = None,
        names: Callable[[Mapping[str, str]], None] | None = None,
    ) -> "Configuration":
        """Return a plugin's own, of the texts by the names of the files."""
        templates = {name: Template.parse(name, text) for name, text in texts.items()}
        return cls(templates, marks, needs, edits, names)

    @property
    def main(self) -> str:
        """The name of the main file, most often what the proxy is started with."""
        return next(iter(self.templates))

    @property
    def texts(self) -> dict[str, str]:
        """The templates as they are written, by the names of the files."""
        return {name: template.text for name, template in self.templates.items()}

    def uses(self, name: str) -> bool:
        """Whether a mark stands in any of the files."""
        return any(name in template.used for template in self.templates.values())

    def filled(self, values: Values) -> dict[str, str]:
        """Return the files' texts by their names; raises `UsageError` for a mark that has no value."""
        return {name: template.filled(values) for name, template in self.templates.items()}

    def explained(self) -> str:
        """Return comments that say what the marks in it stand for."""
        used = [mark for mark in (*COMMON, *self.marks) if self.uses(mark.name)]
        return "".join(remark(f"{mark.name}: {mark.what.replace('@', '')}") for mark in used)

    def with_files(self, given: Mapping[str, str], source: str) -> "Configuration":
        """Return it with the user's texts in place of its own, or beside them.

        Raises `UsageError` with line and remedy.
        A file's name is its path in the user's folder; one alone that is called as none of these is the main one.
        """
        if len(given) == 1 and not set(given) & set(self.templates):
            given = {self.main: next(iter(given.values()))}
        templates = dict(self.templates)
        for name, text in given.items():
            shown = source if len(given) == 1 else f"{source}/{name}"
            templates[name] = Template.parse(shown, text)
        made = attrs.evolve(self, templates=templates, source=source)
        made._require(set(given))  # noqa: SLF001  (it is one of these)
        return made

    def require(self, actions: Iterable[str], *, tls: bool) -> None:
        """Raise `UsageError` where the user's lacks what a change, or the clients, need; a plugin's own has all."""
        if not self.source:
            return
        if tls and not any(self.uses(name) for name in _OF_TLS):
            msg = (
                f"{self.source}: nothing in it shows a certificate: put @@certificate@@ and @@key@@, or "
                "@@certificate-and-key@@, where it listens, between @@if tls@@ and @@end@@"
            )
            raise UsageError(msg)
        for mark in self.over_tls if tls else ():
            if not self.uses(mark.name):
                raise self._missing(mark, set(self.templates))
        if EDIT in actions and self.edits is not None and not self.uses(self.edits.name):
            raise self._missing(self.edits, set(self.templates))

    def as_run(self) -> dict[str, object] | None:
        """Return the user's as it stands in ``run.json``."""
        if not self.source:
            return None
        files = {
            name: {"sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(), "text": text}
            for name, text in self.texts.items()
        }
        return {"name": self.source, "files": files}

    def _require(self, given: set[str]) -> None:
        known = _NAMES | {mark.name for mark in self.marks}
        for name in given:
            for used, line in self.templates[name].used.items():
                if used not in known:
                    where = f"{self.templates[name].name}:{line}"
                    msg = f"{where}: unknown marker {used}; there are: {', '.join(sorted(known))}"
                    raise UsageError(msg)
        for mark in self.needs:
            if not (self.uses(mark.name) if not mark.file else mark.name in self.templates[mark.file].used):
                raise self._missing(mark, given)
        if self.names is not None:
            try:
                self.names(self.texts)
            except UsageError as error:
                msg = f"{self.source}: {error}"
                raise UsageError(msg) from error

    def _missing(self, mark: Mark, given: set[str]) -> UsageError:
        """Return what is wrong where a mark is missing, with the line in which it may belong."""
        for name in [mark.file] if mark.file else sorted(given, key=lambda each: each != self.main):
            template = self.templates[name]
            for number, line in enumerate(template.text.split("\n"), 1):
                if mark.like and re.search(mark.like, line):
                    what = f"{template.name}:{number}: {printable(line.strip())!r}"
                    return UsageError(f"{what} has no marker {mark.name}, {mark.what.replace('@', '')}: {mark.remedy}")
        return UsageError(f"{self.source}: no marker {mark.name}, {mark.what.replace('@', '')}: {mark.remedy}")


def read(path: Path) -> dict[str, str]:
    """Return the texts of a file, or of a folder's files by their paths in it; raises `UsageError`."""
    try:
        if not path.is_dir():
            return {path.name: _text(path)}
        found: dict[str, str] = {}
        for each in _files(path):
            found[str(each.relative_to(path))] = _text(each)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise UsageError(msg) from error
    if not found:
        msg = f"{path}: there is no file in it"
        raise UsageError(msg)
    return found


def _files(folder: Path) -> Iterator[Path]:
    number = 0
    for each in sorted(folder.rglob("*")):
        if each.is_file():
            number += 1
            if number > FILES_AT_MOST:
                msg = f"{folder}: more than {FILES_AT_MOST} files"
                raise UsageError(msg)
            yield each


def _text(path: Path) -> str:
    content = read_some(path, 4 * TEXT_AT_MOST + 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8"
        raise UsageError(msg) from error
    if len(text) > TEXT_AT_MOST:
        msg = f"{path}: longer than {TEXT_AT_MOST} characters"
        raise UsageError(msg)
    return text


def values(
    front: str,
    timeout_s: int,
    upstreams: Sequence[Upstream],
    *,
    folder: str = ".",
    hostname: str,
    whole_timeout_s: int,
    root: bool,
    speaks: Collection[str] = (),
    tls: "FrontCertificate | None" = None,
    route: Route | None = None,
) -> dict[str, object]:
    """Return what the common marks stand for."""
    host, _colon, port = front.rpartition(":")
    secured = (
        {"tls-h2": False}
        if tls is None
        else {
            "certificate": str(tls.certificate),
            "key": str(tls.key),
            "certificate-and-key": str(tls.both),
            "protocol": [{"name": name} for name in tls.protocols],
            "tls-h2": "h2" in tls.protocols,
        }
    )
    edited = {} if route is None else {"edited": route.path, "leads-to": route.to}
    return {
        "front": front,
        "front-host": host,
        "front-port": port,
        "backend": [of_backend(upstream) for upstream in upstreams],
        "hostname": hostname,
        "folder": folder,
        "timeout": timeout_s,
        "whole-timeout": whole_timeout_s,
        "root": root,
        "tls": tls is not None,
        "h2": "HTTP/2" in speaks or "gRPC" in speaks,
        "grpc": "gRPC" in speaks,
        "edit": route is not None,
        **secured,
        **edited,
    }


def of_backend(upstream: Upstream) -> dict[str, object]:
    """Return what the marks of one backend stand for."""
    return {
        "name": upstream.name,
        "address": upstream.address,
        "host": upstream.host,
        "port": upstream.port,
        "number": upstream.instance,
        "free": False,
    }


def plain(configuration: Configuration, marks: Callable[[Sequence[Upstream]], Mapping[str, object]]) -> Configured:
    """Return what fills a configuration in for a recipe: in the clear, and in a folder that is the current one.

    `marks` says what the marks stand for besides the common ones.
    """

    def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream], texts: Texts = None) -> Mapping[str, str]:
        common = values(front, timeout_s, upstreams, hostname=HOSTNAME, whole_timeout_s=TIMEOUT_S, root=_is_root())
        chosen = configuration if texts is None else configuration.with_files(texts, "configuration")
        return chosen.filled({**common, **marks(upstreams)})

    return configured


def _is_root() -> bool:
    return os.geteuid() == 0
