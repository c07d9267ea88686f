"""A private folder for apt: lists of one suite, apart from the machine's own, without root.

https://manpages.debian.org/bookworm/apt/apt.conf.5.en.html
"""

import os
import pwd
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from proxyreload.errors import FetchError
from proxyreload.sources.tool import require_tool, told_by
from proxyreload.system.cachefolder import cache_folder
from proxyreload.system.locked import locked

#: Signs what is in every suite of Debian's.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Lists that are younger are not asked for again.
FRESH = timedelta(days=1)
#: The folders that apt wants to be there.
_FOLDERS = ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d")
_CONFIGURATION = """\
Dir "{folder}";
Dir::State "state";
Dir::State::status "{folder}/state/status";
Dir::Cache "cache";
Dir::Cache::srcpkgcache "";
Dir::Etc "etc";
Dir::Etc::parts "apt.conf.d";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
APT::Default-Release "{suite}";
APT::Sandbox::User "{user}";
APT::Install-Recommends "false";
"""
_TARGETS = ("indextargets", "Created-By: Packages", "--format", "$(RELEASE) $(REPO_URI)")
#: A suite that only a mirror of Debian has.
_DEBIANS = re.compile(
    r"(?:bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing|unstable)(-security)?"
)
#: What apt says of a suite that nobody signs anew any more.
_EXPIRED = re.compile(r"expired|not valid any ?more", re.IGNORECASE)
_NOTHING_ELSE = ("--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances")


@attrs.frozen
class Suite:
    """One of Debian's suites, and the others whose lists belong to it."""

    name: str
    beside: Sequence[str] = ()  #: its security updates, or what an incomplete suite stands on
    settled: bool = True  #: whether its programs are taken unasked


@attrs.frozen
class AptFolder:
    """apt as it sees one suite, on a machine where nothing is installed."""

    suite: Suite

    @property
    def folder(self) -> Path:
        """Return where it is."""
        return cache_folder() / "apt" / self.suite.name

    @contextmanager
    def opened(self) -> Iterator["AptFolder"]:
        """Have it for ourselves, with lists of today; raises `FetchError`."""
        require_tool("apt-get", "Debian's programs are fetched with it")
        try:
            for name in _FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "lock"):
                self._update()
                yield self
        except OSError as error:
            msg = f"{self.folder} cannot be used: {error.strerror}"
            raise FetchError(msg) from error

    def candidate(self, package: str) -> str:
        """Return the version that it would install, empty if it has none."""
        for line in self._told("apt-cache", "policy", package).splitlines():
            key, _colon, value = line.strip().partition(": ")
            if key == "Candidate":
                return "" if value == "(none)" else value
        return ""

    def depends(self, package: str) -> str:
        """Return all that a package depends on, and these in turn, as apt-cache says it."""
        return self._told("apt-cache", "depends", "--recurse", *_NOTHING_ELSE, package)

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Get packages into a folder: apt looks at their hashes, which are in lists that are signed."""
        self._told("apt-get", "download", "-qq", *packages, folder=folder)
        return sorted(folder.glob("*.deb"))

    def _update(self) -> None:
        stamp = self.folder / "updated"
        if stamp.exists() and datetime.fromtimestamp(stamp.stat().st_mtime, UTC) > datetime.now(UTC) - FRESH:
            return
        if not KEYRING.exists():
            msg = f"{KEYRING} is missing, by which apt knows Debian: it is in Debian's package debian-archive-keyring"
            raise FetchError(msg)
        (self.folder / "state" / "status").touch()
        user = pwd.getpwuid(os.getuid()).pw_name
        self._configuration.write_text(
            _CONFIGURATION.format(folder=self.folder, suite=self.suite.name, user=user), encoding="utf-8"
        )
        try:
            self._update_lists(f"signed-by={KEYRING}")
        except FetchError as error:
            if not _EXPIRED.search(str(error)):
                raise
            # It is signed for good; the date is all that is not looked at.
            self._update_lists(f"signed-by={KEYRING} check-valid-until=no")
        stamp.touch()

    def _update_lists(self, how: str) -> None:
        lines = sources(self.suite, how, told_by(["apt-get", *_TARGETS], "apt's own sources"))
        (self.folder / "etc" / "sources.list").write_text("\n".join([*lines, ""]), encoding="utf-8")
        self._told("apt-get", "update", "-qq", "--error-on=any")

    def _told(self, *words: str, folder: Path | None = None) -> str:
        what = f"Debian {self.suite.name}"
        environment = {**os.environ, "APT_CONFIG": str(self._configuration), "LC_ALL": "C.UTF-8"}
        return told_by(words, what, folder=folder, environment=environment)

    @property
    def _configuration(self) -> Path:
        return self.folder / "apt.conf"


def sources(suite: Suite, how: str, targets: str) -> list[str]:
    """Return the lines of ``sources.list`` for a suite, at the mirrors that the machine's own apt has for others.

    `targets` has a suite and its mirror on each line. Security updates are left out where the machine has no mirror
    of them, and so is what a suite has beside it but itself. Raises `FetchError` if there is no mirror.
    """
    mirrors: dict[bool, str] = {}
    for line in targets.splitlines():
        name, _space, uri = line.partition(" ")
        if match := _DEBIANS.fullmatch(name):
            mirrors.setdefault(bool(match[1]), uri)
    if False not in mirrors:
        msg = f"no mirror of Debian is among apt's own sources, where {suite.name} would be"
        raise FetchError(msg)
    lines = []
    for name in (suite.name, *suite.beside):
        mirror = mirrors.get(name.endswith("-security"))
        if mirror is not None:
            lines.append(f"deb [{how}] {mirror} {name} main")
    return lines
