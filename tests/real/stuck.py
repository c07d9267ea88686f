"""Runs that are stuck at one stage of their way, and say when they are there."""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from .command import HOST, PROXYRELOAD, TIMEOUT_S, TRAFFIC, TWISTD, Exits, Place, Result, Session

#: A proxy of ours that stops at a stage, deaf to whatever it is told, and says so.
_PLUGIN = """
import os
import select
from pathlib import Path

from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload_control import Runtime
from twisted.internet.defer import CancelledError, Deferred

STAGE = os.environ["STUCK"]


def reached(stage):
    if STAGE == stage:
        Path(os.environ["SAYS"]).write_text("there")
    return STAGE == stage


async def deaf(stage):
    if reached(stage):
        while True:
            try:
                await Deferred()
            except CancelledError:
                pass


if reached("import"):
    import threading
    threading.Event().wait()


class Stuck(Runtime):
    async def start(self, upstreams):
        await deaf("start")
        await super().start(upstreams)

    async def add_backend(self, upstream):
        await deaf("change")
        await super().add_backend(upstream)

    async def stop(self):
        await deaf("stop")
        await super().stop()


plugin = ProxyPlugin(
    "stuck", Binary("stuck", how_to_get="no way"), (Mechanism("stuck", "nothing goes on", Stuck),)
)
"""
#: What draws the report gets so far and no farther.
_BOKEH = """
import os, threading
from pathlib import Path
Path(os.environ["SAYS"]).write_text("there")
threading.Event().wait()
"""
_PROGRAM = """#!/bin/sh
[ "$STUCK" = version ] || { echo stuck 1.0; exit; }
echo there >"$SAYS"
exec sleep 3600
"""
#: By the name of the stage: how it is known that it is reached, where the run does not say so itself.
STAGES: dict[str, Callable[["Stuck"], None] | None] = {
    "import": None,
    "version": None,
    "baseline": lambda stuck: stuck.until_taken(stuck.place.first_port),
    "start": None,
    "traffic": lambda stuck: stuck.until_said(TRAFFIC),
    "change": None,
    "stop": None,
    "report": None,
}
#: Every way to start the same.
WAYS = {"proxyreload": PROXYRELOAD, "our twistd": (*PROXYRELOAD, "twistd", "proxyreload"), "twistd": TWISTD}


@attrs.define(eq=False)
class Stuck:
    """One run that does not get beyond its stage."""

    place: Place
    stage: str
    session: Session = attrs.field(init=False)

    def start(
        self,
        way: Sequence[str] = PROXYRELOAD,
        *words: str,
        preexec_fn: Callable[[], None] | None = None,
    ) -> Session:
        """Start it, and wait until it is there."""
        folder = self.place.folder / "plugins"
        folder.mkdir()
        (folder / "proxyreload_stuck.py").write_text(_PLUGIN, encoding="utf-8")
        program = self.place.write("stuck", _PROGRAM, mode=0o755)
        says = self.place.folder / "says"
        os.mkfifo(says)
        environment = {**self.place.environment, "STUCK": self.stage, "SAYS": str(says)}
        if self.stage == "report":
            environment |= self._with_a_library_that_waits()
        duration = "3600" if self.stage in {"traffic", "baseline"} else "3"
        all_words = ("--plugin", "stuck", "--binary", program, "--duration", duration, *self.place.ports, *words)
        self.session = self.place.start(
            "--plugin-path",
            str(folder),
            *all_words,
            command=way,
            environment=environment,
            preexec_fn=preexec_fn,
            report=self.stage == "report",
        )
        until = STAGES[self.stage]
        if until is None:
            self.until_written(says)
        else:
            until(self)
        return self.session

    def until_written(self, says: Path) -> None:
        """Wait until it says that it is there, or ends before that."""
        exited, said = os.pidfd_open(self.session.pid), os.open(says, os.O_RDONLY | os.O_NONBLOCK)
        try:
            ready = select.select([said, exited], [], [], TIMEOUT_S)[0]
            assert said in ready, f"it has not come to it: {self.session.ended()}"
            # To its end: a writer may have opened it, and not written or not closed it yet.
            os.set_blocking(said, True)
            assert b"".join(iter(lambda: os.read(said, 100), b"")).strip() == b"there"
        finally:
            os.close(exited)
            os.close(said)

    def until_said(self, pattern: str) -> None:
        """Wait for a line."""
        self.session.until(pattern)

    def until_taken(self, port: int) -> None:
        """Wait until somebody listens on a port."""
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    return
            assert self.session.process.poll() is None, "it has ended before"

    def _with_a_library_that_waits(self) -> Mapping[str, str]:
        folder = self.place.folder / "libraries" / "bokeh"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(_BOKEH, encoding="utf-8")
        path = os.pathsep.join(filter(None, [str(folder.parent), os.environ.get("PYTHONPATH")]))
        return {"PYTHONPATH": path}

    def ends(self, *numbers: signal.Signals) -> Result:
        """Send it these signals, one after the other, and wait until it has ended with all that it had started."""
        exits = Exits.of(self.session.descendants())
        for number in numbers:
            self.session.signal(number)
        result = self.session.ended()
        assert exits.left() == []
        return result


def ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    """Return what lets a child ignore signals from its start, as ``nohup`` and ``trap ''`` do."""

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return ignore


def code(text: str) -> tuple[str, ...]:
    """Return the command that runs `text` before the program."""
    return (sys.executable, "-c", f"{text}\nfrom proxyreload.entry import main\nmain()")


def assert_rows_are_whole(csv: Path) -> None:
    """Check that a file of rows, where there is one, ends with a whole row."""
    if csv.exists():
        content = csv.read_bytes()
        assert content.endswith(b"\n"), content[-100:]
        columns = {line.count(b",") for line in content.splitlines()}
        assert len(columns) == 1, columns
