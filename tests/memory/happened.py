"""Events made to order."""

from typing import Any, get_args

from hypothesis import strategies as st

from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    BackClosed,
    Change,
    Ending,
    Event,
    Exchange,
    FrontClosed,
    Phase,
)
from proxyreload.system.clock import NS_PER_MS

from .clocks import START_NS

EVENTS: tuple[type, ...] = get_args(Event)


def record(bus: EventBus) -> list[Event]:
    """Return a list that takes every event of the bus, in order."""
    events: list[Event] = []
    for kind in EVENTS:
        bus.subscribe(kind, events.extend, "the test's record")
    return events


def exchange(**overrides: Any) -> Exchange:
    """Return a success of client 0 over its first connection, or what the overrides make of it."""
    fields: dict[str, Any] = {
        "client": 0,
        "number": 0,
        "due_ns": START_NS,
        "written_ns": START_NS,
        "first_byte_ns": START_NS + NS_PER_MS,
        "ended_ns": START_NS + NS_PER_MS,
        "connect_ns": 0,
        "connection": 0,
        "carried": 0,
        "front_port": 40000,
        "status": 200,
        "failure": "",
        "message": "",
        "instance": "0",
        "back_port": 50000,
        "announced": False,
        "probe": False,
    }
    return Exchange(**{**fields, **overrides})


def failed(failure: str, **overrides: Any) -> Exchange:
    """Return a failure without an answer."""
    return exchange(
        **{"failure": failure, "status": 0, "instance": "", "back_port": 0, "first_byte_ns": 0, **overrides}
    )


def change(phase: Phase, at_ns: int, action: str = "add", instance: str = "2", number: int = 1, **more: Any) -> Change:
    """Return one point of a change's way."""
    return Change(number, action, instance, "test:runtime", phase, at_ns, **more)


def front_closed(ending: Ending, *, probe: bool = False) -> FrontClosed:
    """Return the end of a client's connection."""
    return FrontClosed(0, 0, 40000, 5, ending, START_NS, probe)


def back_closed(instance: str, *, probe_only: bool = False) -> BackClosed:
    """Return the end of a connection to a backend."""
    return BackClosed(instance, 50000, 5, probe_only, START_NS)


@st.composite
def _any_exchange(draw: st.DrawFn) -> Exchange:
    client, connection = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    kind = draw(st.sampled_from(("success", "success", "success", "refused", "timeout", "status 503")))
    if kind == "refused":
        return failed(kind, client=client, connection=-1, front_port=0, written_ns=0)
    if kind == "timeout":
        return failed(kind, client=client, connection=connection)
    if kind == "status 503" and draw(st.booleans()):
        return failed(kind, client=client, connection=connection, status=503)
    return exchange(
        client=client,
        connection=connection,
        status=200 if kind == "success" else 503,
        failure="" if kind == "success" else kind,
        instance=draw(st.sampled_from(("0", "1", "a b", "a,b"))),
        back_port=draw(st.sampled_from((1, 50000, 65535))),
        connect_ns=draw(st.sampled_from((0, 5000))),
        announced=draw(st.booleans()),
    )


#: Exchanges of a few clients over a few connections to a few backends, in any order, some of them failures.
exchanges_st = st.lists(_any_exchange(), max_size=40)
