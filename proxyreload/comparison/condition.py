"""What mechanisms are compared under: how far away the clients are, and how removed backends go."""

from collections.abc import Iterable, Sequence
from itertools import product

import attrs

from proxyreload.errors import UsageError
from proxyreload.plan.settings import BackendSettings, LoadSettings, Settings
from proxyreload.plan.traffic import MIX_RTT_S, group
from proxyreload.system.untrusted import printable
from proxyreload.traffic import get
from proxyreload.traffic.identity import PLAIN_KIND

NEAR, FAR, LEAVING, KILLED = "near", "far", "leaving", "killed"
#: The word for neither: distances as each kind has them, backends that go as the options say.
AS_ASKED = "asked"
#: How far away everybody is, in seconds there and back.
DISTANCES_S = {NEAR: 0.0, FAR: MIX_RTT_S}
REMOVALS = (LEAVING, KILLED)
ALL = (*DISTANCES_S, *REMOVALS)
#: A removed backend goes so long after its removal was applied, if the options do not say when.
_GOES_AFTER_S = 1.0


@attrs.frozen
class Condition:
    """One of those that each mechanism is run under."""

    distance: str = ""  #: `NEAR` or `FAR`: of all clients; empty: each kind has its own
    removal: str = ""  #: `LEAVING` or `KILLED`; empty: as the options say

    @property
    def name(self) -> str:
        """``near, killed``; empty where all is as the options say."""
        return ", ".join(filter(None, (self.distance, self.removal)))

    @property
    def words(self) -> tuple[str, ...]:
        """The option that asks for it alone; nothing where no option does."""
        asked = ",".join(filter(None, (self.distance, self.removal)))
        return ("--conditions", asked) if asked else ()

    def met(self, settings: Settings) -> Settings:
        """Return the settings of a run under it."""
        load, backends = settings.load, settings.backends
        if self.distance:
            load = _away(load, DISTANCES_S[self.distance])
        if self.removal:
            backends = _going(backends, self.removal)
        return attrs.evolve(settings, load=load, backends=backends)

    def as_plain(self) -> dict[str, object]:
        """Return it as it stands in ``compare.json``."""
        rtt_s = DISTANCES_S.get(self.distance)
        return {
            "name": self.name,
            "rtt_ms": None if rtt_s is None else rtt_s * 1000,
            "removed": self.removal or None,
        }


#: Whatever the options say.
UNCHANGED = Condition()


def conditions(option: str, text: str, actions: Iterable[str]) -> tuple[Condition, ...]:
    """Return those that are named, a comma between two words: each distance with each way to go.

    Raises `UsageError` for another word, and for a way to go where none of the scenario's `actions` removes a backend.
    """
    words = [word.strip() for word in text.split(",")]
    if words == [AS_ASKED]:
        return (UNCHANGED,)
    for word in words:
        if word not in ALL:
            takes = f"{', '.join(ALL)}, a comma between two, or {AS_ASKED}"
            msg = f"{option} takes {takes}, not {printable(repr(word), 40)}"
            raise UsageError(msg)
        if word in REMOVALS and "remove" not in actions:
            msg = f"{option} {word} goes with changes that remove a backend"
            raise UsageError(msg)
    return _product([each for each in DISTANCES_S if each in words], [each for each in REMOVALS if each in words])


def all_conditions(actions: Iterable[str]) -> tuple[Condition, ...]:
    """Return every one that there can be with these changes."""
    return _product(list(DISTANCES_S), list(REMOVALS) if "remove" in actions else [])


def _product(distances: Sequence[str], removals: Sequence[str]) -> tuple[Condition, ...]:
    return tuple(Condition(*each) for each in product(distances or [""], removals or [""]))


def few_plain(load: LoadSettings) -> LoadSettings:
    """Return a load with one client of those that are asked for by number, and its part of the rate.

    There is no run without one: they are who the changes are proved by where nobody else sends.
    """
    rate_per_s = None if load.rate_per_s is None else load.rate_per_s / load.clients
    return attrs.evolve(load, clients=1, rate_per_s=rate_per_s)


def _away(load: LoadSettings, rtt_s: float) -> LoadSettings:
    """Return a load with everybody so far away.

    Clients that were asked for by number are near in any run. Near, they are all that there is of their kind: another
    ten without a rate would leave no processor for anybody else. Far, one of them stays, and the others are far.
    """
    groups = [attrs.evolve(each, rtt_s=rtt_s) for each in load.groups]
    plain = [each for each in groups if each.kind.name == PLAIN_KIND]
    if not rtt_s:
        kept = [each for each in groups if each not in plain or each.rate_per_s is not None]
        return attrs.evolve(load, groups=tuple(kept))
    more = [] if plain or load.clients == 1 else [group(get.kind, load.clients, rtt_s)]
    return attrs.evolve(few_plain(load), groups=(*more, *groups))


def _going(backends: BackendSettings, removal: str) -> BackendSettings:
    asked_s = backends.stop_removed_s if backends.kill_removed_s is None else backends.kill_removed_s
    after_s = _GOES_AFTER_S if asked_s is None else asked_s
    if removal == KILLED:
        return attrs.evolve(backends, kill_removed_s=after_s)
    return attrs.evolve(backends, stop_removed_s=after_s, kill_removed_s=None)
