"""An observation of what comes over a bus, as a run wires it."""

import json
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Event
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import Settings, Target
from proxyreload.record.runfile import RunFile
from proxyreload.run.preflight import Programs
from proxyreload.run.wiring import VERDICT
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import Observation

from .conforming import wrong

#: What stands in the file from the start, of a run of somebody else's proxy.
RAN = {**Settings(Target.front(8080), default()).as_run(), **Programs().as_run()}


def observed(bus: EventBus) -> Observation:
    """Return an observation that takes all that a bus brings, and publishes what that changed."""
    observation = Observation()

    def take(topic: type, events: Sequence[Event]) -> None:
        for derived, told in groupby(observation.take(topic, events), type):
            bus.deliver(derived, list(told))

    for topic in observation.topics:
        bus.subscribe(topic, partial(take, topic), VERDICT)
    return observation


def run_json(observation: Observation, folder: Path) -> dict[str, Any]:
    """Return what stands in the run's file, which is as it is published."""
    run_file = RunFile(folder / "run.json")
    run_file.open(RAN)
    run_file.finish(observation, judge(observation))
    run_file.close()
    content: dict[str, Any] = json.loads(run_file.path.read_text(encoding="utf-8"))
    assert wrong("run", content) == []
    return content
