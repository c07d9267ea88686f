"""One famous bug: what shows it, what is to be found then, and its cure."""

from collections.abc import Collection, Mapping

import attrs

from proxyreload.casebook.versionwords import Versions
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.verdict.judgement import Verdict


@attrs.frozen
class Turn:
    """One run of a case: the mechanism, and what is put into its configuration."""

    mechanism: str  #: ``PLUGIN[:MECHANISM][@VERSION]``
    words: tuple[str, ...] = ()  #: more of the command, ``--change`` for one
    config: Mapping[str, str] = attrs.field(factory=dict)  #: what takes the place of what, in its configuration


@attrs.frozen
class Expectation:
    """What is to be found."""

    verdicts: Collection[Verdict]
    kind: str = ""  #: of traffic, whose verdict that is; empty: the run's
    cause: Cause | None = None  #: of most of what was lost, if anything was
    fate: Fate | None = None  #: of one request at least
    never: Fate | None = None  #: of none

    def __str__(self) -> str:
        """``aimed lossy, keep-alive race``."""
        anything = set(Verdict) - {Verdict.INEFFECTIVE, Verdict.INVALID} <= set(self.verdicts)
        found = "any verdict" if anything else " or ".join(sorted(each.value for each in self.verdicts))
        told = [f"{self.kind} {found}".strip(), *([self.cause.value] if self.cause else [])]
        told += [self.fate.value.replace("_", " ")] if self.fate else []
        return ", ".join([*told, *([f"none {self.never.value.replace('_', ' ')}"] if self.never else [])])


@attrs.frozen
class Showing:
    """Some versions in which a bug shows."""

    versions: Versions
    seen: str  #: what was seen there, in a line


@attrs.frozen
class Bug:
    """A case, as its file has it."""

    name: str
    title: str  #: in a line
    sources: tuple[str, ...]  #: where it was told of
    told: str  #: what happens, in a few sentences
    versions: str  #: that show it, in words
    scenario: str  #: the text of a scenario file; empty: the words of the command say what happens
    shown: Turn
    expected: Expectation
    cured: Turn
    cure: str  #: in a line
    cure_source: str  #: where it is documented
    healed: Expectation
    shows: tuple[Showing, ...] = ()  #: in which versions it is known to; empty: nobody has written that down
    cured_in: Versions | None = None  #: which have the cure; None: all
