"""Who is compared: mechanisms by name, or why one cannot be run."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from proxyreload.errors import ProxyreloadError, UsageError
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.named import Named
from proxyreload.proxy.registry import Choice, installed, load
from proxyreload.sources.version import Span


@attrs.frozen
class Contender:
    """One mechanism, with the program or the version that it is to run if that is not the usual one."""

    choice: Choice
    binary: str | None = None
    configuration: Configuration | None = None  #: the user's, if it is not the mechanism's own
    fetched: str | None = None  #: where a version's program is

    @property
    def name(self) -> str:
        """``plugin:mechanism``, and ``@program`` or ``@version``, and ``+file``, if such were asked for."""
        file = f"+{self.configuration.source}" if self.configuration is not None else ""
        return self.choice.name + (f"@{self.binary}" if self.binary else "") + file

    @property
    def versioned(self) -> bool:
        """Whether it is to run a version that was asked for, not whatever program there is."""
        return self.fetched is not None

    def usual(self) -> str | None:
        """Return the program that another one which was asked for is upgraded to; None if none was."""
        program = self.choice.plugin.binary
        if self.binary is None or program is None:
            return None
        try:
            return str(program.find())
        except ProxyreloadError:
            return None


def contenders(names: Sequence[str]) -> list[Contender]:
    """Return those that are named, ``plugin[:mechanism][@version|@path][+file]``; raises `UsageError` for another."""
    found: list[Contender] = []
    for name in names:
        rest, file = with_file(name)
        named = Named.of(rest)
        contender = Contender(named.choice, named.program, None if file is None else named.choice.with_files(file))
        if contender.choice.plugin.binary is None:
            msg = f"{contender.name} cannot be compared: somebody else runs the proxy"
            raise UsageError(msg)
        if contender.name not in [each.name for each in found]:
            found.append(contender)
    return found


def with_file(name: str) -> tuple[str, Path | None]:
    """Return a name without the file, or the folder, that stands behind a ``+`` in it, and that; None: there is none.

    Versions and programs may have a ``+`` too: behind the one that is meant there is a file.
    """
    parts = name.split("+")
    for index in range(1, len(parts)):
        path = Path("+".join(parts[index:]))
        if path.exists() or "@" not in "+".join(parts[:index]):
            return "+".join(parts[:index]), path
    return name, None


def require_unversioned(found: Sequence[Contender | str]) -> Sequence[Contender | str]:
    """Return those that are named without a version or a program, each of a proxy that has versions to be had.

    Raises `UsageError` if one is not such.
    """
    for each in found:
        if isinstance(each, Contender) and each.binary is not None:
            msg = f"{each.name} says which program: --versions does not go with it"
            raise UsageError(msg)
        if isinstance(each, Contender) and not _sources(each):
            msg = f"{each.name} cannot be had in versions: its plugin names no source of them"
            raise UsageError(msg)
    return found


def in_versions(found: Sequence[Contender | str], span: Span) -> Iterator[Contender | str]:
    """Yield each in every version of a range, the oldest first; raises `FetchError` if there is none."""
    for each in found:
        if isinstance(each, str) or each.choice.plugin.binary is None:
            yield each
        else:
            for offer in each.choice.plugin.binary.catalogue.within(span):
                yield attrs.evolve(each, binary=str(offer.version))


def _sources(contender: Contender) -> bool:
    program = contender.choice.plugin.binary
    return program is not None and bool(program.sources)


def with_versions(found: Sequence[Contender | str]) -> list[Contender | str]:
    """Return them with the programs of the versions that were asked for, fetched if need be; raises `FetchError`."""
    return [each if isinstance(each, str) else _with_version(each) for each in found]


def _with_version(contender: Contender) -> Contender:
    program = contender.choice.plugin.binary
    if program is None or not program.is_version(contender.binary):
        return contender
    return attrs.evolve(contender, fetched=str(program.find(contender.binary)))


def everyone(left_out: Callable[[str], None]) -> Iterator[Contender | str]:
    """Yield every mechanism of every installed plugin that is a proxy's, or what is wrong with a plugin.

    A proxy whose program is not there is left out: it is said why.
    """
    for point in installed().values():
        try:
            plugin = load(point)
        except ProxyreloadError as error:
            yield str(error)
            continue
        if plugin.binary is None or plugin.testing:
            continue
        try:
            plugin.binary.find()
        except ProxyreloadError as error:
            left_out(f"{plugin.name} is left out: {error}")
            continue
        yield from (Contender(Choice(plugin, mechanism)) for mechanism in plugin.mechanisms)
