"""Whole runs, one after another."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from proxyreload.errors import StartError
from proxyreload.plan.settings import Settings
from proxyreload.run.run import Run
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor


@attrs.define(eq=False)
class Runs:
    """Has one run under way at a time, and can be asked to end that and to begin no other."""

    reactor: IReactor
    clock_ns: ClockNs
    interrupted: bool = attrs.field(default=False, init=False)  #: whoever begins runs is to begin no other
    current: Run | None = attrs.field(default=None, init=False)  #: the one under way

    def interrupt(self) -> None:
        """End the run that is under way; a second time, without waiting."""
        self.interrupted = True
        if self.current is not None:
            self.current.interrupt()

    @contextmanager
    def begun(self, settings: Settings) -> Iterator[Run]:
        """Have a run under way meanwhile, with a folder for its files; raises `StartError` if that cannot be."""
        folder = settings.files.run.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{folder} cannot be made: {error.strerror}"
            raise StartError(msg) from error
        gc.collect()  # what the run before has left in memory must not be collected at the cost of this one
        self.current = Run(settings, self.reactor, self.clock_ns)
        try:
            yield self.current
        finally:
            self.current = None
