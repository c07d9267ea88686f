"""Which mechanisms are compared, and which kinds of traffic are sent: ``--only``, ``--skip``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import attrs

from proxyreload.comparison.condition import few_plain
from proxyreload.comparison.contender import Contender
from proxyreload.errors import UsageError
from proxyreload.plan.settings import LoadSettings
from proxyreload.system.untrusted import printable
from proxyreload.traffic.identity import PLAIN_KIND
from proxyreload.traffic.registry import kind_named, kinds

_OF_A_KIND = "kind="


@attrs.frozen
class Words:
    """What one of the two options names: kinds of traffic, and mechanisms, with ``*`` for any letters."""

    option: str
    kinds: frozenset[str] = frozenset()
    mechanisms: tuple[str, ...] = ()

    @classmethod
    def parsed(cls, option: str, text: str) -> "Words":
        """Parse ``haproxy,nginx:reload*,websocket,kind=get``; raises `UsageError` for a kind that there is not."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        if not words:
            msg = f"{option} takes mechanisms and kinds of traffic, a comma between two"
            raise UsageError(msg)
        named = {word.removeprefix(_OF_A_KIND) for word in words if word.startswith(_OF_A_KIND) or word in kinds()}
        rest = tuple(word for word in words if word not in named and not word.startswith(_OF_A_KIND))
        return cls(option, frozenset(kind_named(kind).name for kind in named), rest)

    def name(self, contender: Contender) -> bool:
        """Whether they name a contender."""
        return any(_names(word, contender) for word in self.mechanisms)

    def require_named(self, contenders: Iterable[Contender]) -> None:
        """Raise `UsageError` for a word that names none of them."""
        there_are = list(contenders)
        for word in self.mechanisms:
            if not any(_names(word, each) for each in there_are):
                shown = printable(repr(word), 60)
                msg = f"{self.option}: {shown} is no mechanism that is compared, and no kind of traffic"
                raise UsageError(msg)


def _names(word: str, contender: Contender) -> bool:
    plugin = contender.choice.plugin.name
    return any(fnmatchcase(name, word) for name in (plugin, contender.choice.name, contender.name))


@attrs.frozen
class Selection:
    """What is left of all that could be compared."""

    only: Words | None = None
    skip: Words | None = None

    @classmethod
    def parsed(cls, only: str | None, skip: str | None) -> "Selection":
        """Parse the two options; raises `UsageError`."""
        return cls(
            None if only is None else Words.parsed("--only", only),
            None if skip is None else Words.parsed("--skip", skip),
        )

    def of(self, found: Sequence[Contender | str]) -> list[Contender | str]:
        """Return those that are compared, and what is wrong with plugins; raises `UsageError` if none is left."""
        there_are = [each for each in found if isinstance(each, Contender)]
        for words in filter(None, (self.only, self.skip)):
            words.require_named(there_are)
        only = self.only if self.only is not None and self.only.mechanisms else None
        left = [each for each in found if isinstance(each, str) or _taken(each, only, self.skip)]
        if there_are and not any(isinstance(each, Contender) for each in left):
            msg = "--only and --skip leave no mechanism to compare"
            raise UsageError(msg)
        return left

    def sent(self, load: LoadSettings) -> LoadSettings:
        """Return a load with the kinds that are left of it; raises `UsageError` for one that nobody sends."""
        sent = {PLAIN_KIND, *(each.kind.name for each in load.groups)}
        for words in filter(None, (self.only, self.skip)):
            for kind in sorted(words.kinds - sent):
                msg = f"{words.option}: no {kind} is sent: --traffic says what is"
                raise UsageError(msg)
        takes = self._takes
        left = attrs.evolve(load, groups=tuple(each for each in load.groups if takes(each.kind.name)))
        return left if takes(PLAIN_KIND) else few_plain(left)

    @property
    def words(self) -> Iterator[str]:
        """The options that ask for the same kinds of traffic."""
        for each in filter(None, (self.only, self.skip)):
            if each.kinds:
                yield from (each.option, ",".join(f"{_OF_A_KIND}{kind}" for kind in sorted(each.kinds)))

    @property
    def _takes(self) -> Callable[[str], bool]:
        only = self.only.kinds if self.only is not None else frozenset()
        skip = self.skip.kinds if self.skip is not None else frozenset()
        return lambda kind: (not only or kind in only) and kind not in skip


def _taken(contender: Contender, only: Words | None, skip: Words | None) -> bool:
    return (only is None or only.name(contender)) and not (skip is not None and skip.name(contender))
