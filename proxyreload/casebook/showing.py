"""In which versions of its program a bug shows, as far as that is known."""

import re

import attrs

from proxyreload.casebook.bug import Bug
from proxyreload.errors import ProxyreloadError
from proxyreload.plan.settings import Settings
from proxyreload.proxy.named import Named
from proxyreload.sources.store import already_there
from proxyreload.sources.version import Version

#: A version's numbers in what a program says of itself.
_NUMBERS = re.compile(r"\d+(?:\.\d+)+")


@attrs.frozen
class Program:
    """What a turn of a case runs, as it says itself; empty where it is not there."""

    said: str = ""

    @property
    def version(self) -> Version | None:
        """Its numbers."""
        found = _NUMBERS.search(self.said)
        return None if found is None else Version.of(found.group())

    def __str__(self) -> str:
        """``2.8.25``, or in its own words if these have no numbers."""
        return str(self.version) if self.version is not None else self.said


def program_of(settings: Settings) -> Program:
    """Return what a run would run."""
    program = settings.choice.plugin.binary if settings.choice is not None else None
    if program is None:
        return Program()
    try:
        return Program(program.version(program.find(settings.binary)))
    except ProxyreloadError:
        return Program()  # the run says what is missing


def told_of(mechanism: str) -> str:
    """Return which program would be run of what is named, in a few words; nothing is fetched."""
    named = Named.of(mechanism)
    program = named.choice.plugin.binary
    if program is None:
        return ""
    try:
        if named.program is None or not program.is_version(named.program):
            return program.version(program.find(named.program))
        asked = Version.of(named.program)
        there = [each for each in already_there(program.sources) if each.version.begins_with(asked)]
    except ProxyreloadError as error:
        return str(error)
    newest = max(there, key=lambda each: each.version, default=None)
    if newest is None or newest.program is None:
        return f"{program.name} {named.program}, fetched when it is run"
    return program.version(newest.program)


def why_cannot(bug: Bug, shown: Program, cured: Program) -> str:
    """Say why a bug cannot show itself, or not be cured, with these programs; empty if it can, as far as is known."""
    if bug.shows and shown.version is not None and not any(each.versions.have(shown.version) for each in bug.shows):
        known = "; ".join(str(each.versions) for each in bug.shows)
        return f"{shown.said} is none of those that show it: {known}"
    if bug.cured_in is not None and cured.version is not None and not bug.cured_in.have(cured.version):
        return f"{cured.said} does not have what cures it: {bug.cured_in}"
    return ""
