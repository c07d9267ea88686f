"""Tries versions by whole runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.bisection.interfaces import ITrier, Stopped
from proxyreload.comparison.comparison import file_name
from proxyreload.errors import ProxyreloadError, StartError
from proxyreload.plan.settings import Settings
from proxyreload.run.runs import Runs
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.verdict.judgement import Verdict, judge_change


@implementer(ITrier)
@attrs.define(eq=False)
class Trier:
    """A run each time it is asked, in a folder of its own; its scenario's changes are what is counted."""

    reactor: IReactor
    clock_ns: ClockNs
    settings: Settings  #: of each run but for the program and its files
    program_of: Callable[[str], Path]  #: fetches a version's program if it is not there: nothing runs meanwhile
    hit_by: frozenset[Verdict]  #: the verdicts of a change that is hit
    folder: Path
    doing: str = attrs.field(default="", init=False)  #: which version is being tried
    _number: int = attrs.field(default=0, init=False)
    _runs: Runs = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Have no run under way."""
        self._runs = Runs(self.reactor, self.clock_ns)

    def interrupt(self) -> None:
        """End the run that is under way, and start no other."""
        self._runs.interrupt()

    async def hits(self, version: str) -> Sequence[bool]:
        """Make the scenario's changes; one that the traffic does not show says nothing."""
        self._require_going_on()
        self.doing = version
        self._number += 1
        folder = self.folder / file_name(f"{self._number:03} {version}")
        files = attrs.evolve(
            self.settings.files, csv=folder / "data.csv", run=folder / "run.json", losses=folder / "losses.csv"
        )
        settings = attrs.evolve(self.settings, binary=str(self.program_of(version)), files=files)
        with self._runs.begun(settings) as run:
            try:
                judgement = await run.execute()
            except ProxyreloadError:
                raise
            except Exception as error:  # a plugin is somebody else's code; other versions go on
                raise StartError(one_line(f"{type(error).__name__}: {error}", WORDS_LIMIT)) from error
        self._require_going_on()
        if judgement.verdict is Verdict.INVALID:
            msg = "; ".join(judgement.reasons)
            raise StartError(msg)
        verdicts = [judge_change(change).verdict for change in run.observation.changes]
        told = [verdict in self.hit_by for verdict in verdicts if verdict is not Verdict.INEFFECTIVE]
        if not told:
            msg = f"none of {len(verdicts)} changes was seen in the traffic"
            raise StartError(msg)
        return told

    def _require_going_on(self) -> None:
        if self._runs.interrupted:
            raise Stopped
