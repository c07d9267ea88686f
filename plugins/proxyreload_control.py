"""A small reverse proxy of our own, to test the instrument by: honest, or with faults that it counts.

``control:faults`` does to its clients what broken proxies do, to each kind of traffic whatever can befall it, a number
of times that is drawn from the run's seed, and keeps its own books: of what the clients must have seen, and of what
became of each request.
"""

import socket
import sys
from collections import Counter, deque
from collections.abc import Mapping
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import (
    BACK_CHANGED,
    FRONT_CHANGED,
    STRAGGLERS,
    TLS,
    IFaultInjector,
    Mechanism,
    ProxyPlugin,
    Sender,
    carrying,
)
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.traffic.identity import PLAIN_KIND
from proxyreload_control_books import NEVER_ARRIVED, Books, numbered
from proxyreload_control_faults import (
    ALL_FINISHED,
    ANEW,
    CLOSED_BEHIND,
    IN_VOLLEY,
    REFUSED,
    REFUSED_BEHIND,
    RESET,
    UNACCEPTED,
    VOLLEY,
    Planned,
    draw,
    faults_of,
)
from proxyreload_control_harm import Harmed, Watched
from proxyreload_control_proxy import OUTAGE_S, Front, Passing, Runtime, pause
from proxyreload_control_streams import Stream, StreamsFront
from proxyreload_control_tls import SecuredRuntime, Slow, Stays

#: How many requests there are between two faults, and how often each of them comes: of many, and of others.
MANY_GAP, GAP = (50, 400), (1, 6)
MANY_TIMES, TIMES = (3, 8), (1, 3)
#: Kinds of which there are few exchanges, for they take long.
LONG_GAP = {"websocket": (1, 3)}
_FRESH = "fresh"
#: What who waits is told, and how often.
_PROCESSING, _PATIENCE_S = b"HTTP/1.1 102 Processing\r\n\r\n", 0.5
_NOBODY = Sender("")


@attrs.define(eq=False)
class Plan:
    """What is to be done to one kind of clients."""

    faults: deque[Planned]
    gap: tuple[int, int]
    chance: Random
    _countdown: int = 0

    @classmethod
    def of(cls, sender: Sender, seed: int) -> "Plan":
        """Draw it."""
        chance = Random(f"{seed} {sender.kind} {sender.far}")  # noqa: S311
        many = sender.kind == PLAIN_KIND
        drawn = draw(faults_of(sender.kind, far=sender.far), MANY_TIMES if many else TIMES, chance)
        gap = MANY_GAP if many else LONG_GAP.get(sender.kind, GAP)
        return cls(deque(drawn), gap, chance, chance.randint(*gap))

    def due(self) -> Planned | None:
        """Count a request, and return what is to be done to it."""
        self._countdown -= 1
        if self._countdown > 0 or not self.faults:
            return None
        self._countdown = self.chance.randint(*self.gap)
        return self.faults.popleft()


@implementer(IFaultInjector)
class Faults(Runtime):
    """Injects faults, and keeps the books: by kind and failure class, or ending, how often the clients must see it.

    And by kind and fate how many requests had it; what the end of the run leaves under way has none.
    A client has at most one fault at a time: it is settled when that client asks again, which shows that the one before
    has its outcome.
    """

    def __init__(self, workspace: Workspace, senders: Mapping[int, Sender] | None = None) -> None:
        super().__init__(workspace)
        self.expected: Counter[tuple[str, str]] = Counter()
        self.books = Books()
        self.finished: Deferred[None] = Deferred()
        self.requests = 0
        self._senders = {b"%d" % number: sender for number, sender in (senders or {}).items()}
        there_are = dict.fromkeys(self._senders.values()) or {Sender(PLAIN_KIND): None}
        self._plans = {sender: Plan.of(sender, workspace.seed) for sender in there_are}
        self._outages = self._drawn_outages(Random(workspace.seed))  # noqa: S311
        self._outage_now = False
        self._under_way: dict[bytes, Planned] = {}  # by client
        self._done: set[bytes] = set()  # of these
        self._next: dict[bytes, Planned] = {}  # to be done on the next connection
        self._doomed: dict[Front, Planned] = {}
        self._on_streams: list[tuple[Passing, Planned]] = []  # what is being done to streams
        self._front_of: dict[bytes, Front | StreamsFront] = {}  # the latest that has asked for something
        self._held: list[Passing] = []
        self._stragglers_left = 0
        self._removed: Upstream | None = None
        self._asked: set[Front] = set()  # who has asked for something since then
        self._answered: set[bytes] = set()
        self._backs: set[tuple[int, int]] = set()  # backend connections that have carried an answer

    @property
    def fates(self) -> Mapping[tuple[str, str], int]:
        """What became of the requests."""
        return self.books.counts

    async def remove_backend(self, upstream: Upstream) -> None:
        """Remove it, and let a few requests slip through to it afterwards."""
        await super().remove_backend(upstream)
        self._removed = upstream
        self._stragglers_left = Random(self.workspace.seed).randint(*MANY_TIMES)  # noqa: S311
        self.expected[PLAIN_KIND, STRAGGLERS] = self._stragglers_left

    def asked(self, front: Front | Stream, head: bytes, *, chunked: bool) -> Passing | None:
        """Pass a request on, or not."""
        client = front.client
        sender = self._sender(client)
        if sender is _NOBODY:  # none of the traffic under test
            return super().asked(front, head, chunked=chunked)
        self.requests += 1
        if isinstance(front, Stream):
            return self._asked_on_stream(front, head, sender, chunked=chunked)
        self._settle(client, sender)
        if front.finished:
            self._crossed(front, sender)
            return None
        if sender.kind == PLAIN_KIND and front.carried == 1:
            self.expected[PLAIN_KIND, FRONT_CHANGED] += client in self._front_of
        self._front_of[client] = front
        planned = self._due(front, sender)
        if planned is not None:
            self._under_way[client] = planned
            passing: Watched = planned.fault.passing(front, head, self.next_upstream(), planned, chunked=chunked)
        else:
            passing = Watched(front, head, self._upstream(front, sender), chunked=chunked)
            if self._holds(sender):
                self._held.append(passing)
                self._keep_patient(passing)
                return passing
        passing.begin()
        return passing

    def did(self, front: Front | Stream, planned: Planned) -> None:
        """Write in the books what has been done to a client."""
        fault, kind = planned.fault, self._sender(front.client).kind
        if isinstance(front, Stream):
            front.done = True
        else:
            self._done.add(front.client)
        if fault.failure:
            self.expected[kind, fault.failure] += 1
        if fault.ending is not None:
            self.expected[kind, fault.ending.value] += 1

    def book(self, front: Front | Stream, request_id: bytes, fate: str) -> None:
        """Write in the books what has become of a client's request."""
        self.books.book(self._sender(front.client).kind, request_id, fate)

    def turned_away(self, client: bytes) -> None:
        """Write that a client's request, which was not read, is above the last stream that it was promised."""
        kind = self._sender(client).kind
        self.expected[kind, failures.TURNED_AWAY] += 1
        self.books.counts[kind, NEVER_ARRIVED] += 1

    def denied(self, client: bytes) -> None:
        """Write that a request which is carried out was said not to be."""
        self.expected[self._sender(client).kind, failures.TURNED_AWAY] += 1

    def again(self, front: Front | Stream, request_id: bytes) -> None:
        """Write that it was carried out once more."""
        self.books.again(self._sender(front.client).kind, request_id)

    def made_up(self, front: Front | Stream) -> None:
        """Write that one was carried out in a client's name that it has not sent."""
        self.books.made_up(self._sender(front.client).kind)

    def delivered(self, passing: Passing) -> None:
        """Note whose answer comes over which backend connection; a port that is used again, by any kind, is not new."""
        back, client = passing.back, passing.front.client
        if back is None:
            return
        key = (back.upstream.instance, back.port)
        if self._sender(client).kind == PLAIN_KIND:
            self.expected[PLAIN_KIND, BACK_CHANGED] += key not in self._backs and client in self._answered
            self._answered.add(client)
        self._backs.add(key)

    def pool_of(self, passing: Passing) -> str:
        """Keep those of each kind apart: whose answer is the first over one must not depend on who reads faster."""
        return self._sender(passing.front.client).kind

    def at_rest(self, front: Front, planned: Planned) -> None:
        """Do to a connection that rests what is planned for it, and to others of its kind; not if it rests no more."""
        if self._under_way.get(front.client) is not planned or not front.rests:
            return
        what = planned.fault.at_rest
        if what == RESET:
            front.reset_now()
            self.did(front, planned)
            return
        others = self._resting_beside(front) if what in (ALL_FINISHED, VOLLEY) else []
        for each in [front, *(others if what == ALL_FINISHED else [])]:
            each.finish_now()
            self._under_way[each.client] = planned
            self.did(each, planned)
        if what == VOLLEY:
            chance = Random(planned.share)  # noqa: S311
            self._doomed.update({each: Planned(chance.choice(IN_VOLLEY), 0.0) for each in others})

    async def outage(self, passing: Harmed, answer: bytes) -> None:
        """Let a client have its answer when nobody listens any more, and listen again when that has befallen it."""
        front, planned = passing.front, passing.planned
        reactor: Any = self.workspace.reactor
        dummies: list[socket.socket] = []
        refused = planned.fault.failure == failures.REFUSED
        if refused:
            await maybeDeferred(self.port.stopListening)
        else:
            dummies = self._fill_queue()
        front.write(answer)
        if planned.fault.ending is not None:
            front.finish()
        await pause(reactor, OUTAGE_S if refused else self.workspace.client_timeout_s + OUTAGE_S)
        self.did(front, planned)
        self.book(front, numbered(passing.request_id, 1), NEVER_ARRIVED)
        if refused:
            self.listen()
        else:
            for dummy in dummies:
                dummy.close()
            self.port.socket.listen(128)
            self.port.startReading()
        self._outage_now = False
        held, self._held = self._held, []
        for each in held:
            each.begin()

    # Whose turn it is, and with what.

    def _asked_on_stream(self, stream: Stream, head: bytes, sender: Sender, *, chunked: bool) -> Passing:
        """Pass a stream's request on, or not; what could not be done to another is done later."""
        self._front_of[stream.client] = stream.connection
        plan = self._plans[sender]
        over = [each for each in self._on_streams if each[0].over]
        self._on_streams = [each for each in self._on_streams if not each[0].over]
        plan.faults += [planned for passing, planned in over if not getattr(passing.front, "done", True)]
        planned_now = plan.due() if stream.carried > 1 and not stream.connection.finished else None
        made = planned_now.fault.passing if planned_now is not None else Watched
        more = () if planned_now is None else (planned_now,)
        passing: Passing = made(stream, head, self.next_upstream(), *more, chunked=chunked)
        if planned_now is not None:
            self._on_streams.append((passing, planned_now))
        stream.passing = passing
        passing.begin()
        return passing

    def _sender(self, client: bytes) -> Sender:
        if not self._senders:
            return Sender(PLAIN_KIND) if client.isdigit() else _NOBODY
        return self._senders.get(client, _NOBODY)

    def _due(self, front: Front, sender: Sender) -> Planned | None:
        """Return what is to be done at this request."""
        client = front.client
        doomed = self._doomed.pop(front, None)
        if doomed is not None:
            return doomed
        if client in self._next:
            planned = self._next.pop(client)
            if front.carried == 1:
                return planned
            self._plans[sender].faults.append(planned)
        if front.carried == 1 and sender.kind not in ANEW:
            return None
        if self._outages and self._all_done:
            return self._due_outage(front, sender)
        planned_now = self._plans[sender].due()
        if planned_now is not None and planned_now.fault.on_new:
            self._next[client] = planned_now
            return Planned(CLOSED_BEHIND, 0.0)
        return planned_now

    def _settle(self, client: bytes, sender: Sender) -> None:
        """See that the request before has its outcome; what could not be done to it is done later."""
        planned = self._under_way.pop(client, None)
        if planned is None:
            if not self._outages and not self.finished.called and self._all_done:
                self._finish()
            return
        done = client in self._done
        self._done.discard(client)
        if not (done or planned.fault.outage or planned.fault in (CLOSED_BEHIND, *IN_VOLLEY)):
            self._plans[sender].faults.append(planned)

    def _crossed(self, front: Front, sender: Sender) -> None:
        """Count a request that met the FIN on its way, which only those far away can send.

        Nobody else may: the end was there to be seen.
        """
        self.book(front, front.request_id, NEVER_ARRIVED)
        if sender.far and front.client not in self._under_way:
            self.expected[sender.kind, Ending.IDLE.value] -= 1
            self.expected[sender.kind, failures.CLOSED_REUSED] += 1
            self._under_way[front.client] = Planned(CLOSED_BEHIND, 0.0)
            self._done.add(front.client)

    def _resting_beside(self, front: Front) -> list[Front]:
        """Return the others of its kind to whom nothing is being done."""
        kind = self._sender(front.client)
        return [
            each
            for each in self.fronts
            if isinstance(each, Front)
            and each is not front
            and self._sender(each.client) == kind
            and each.client not in self._under_way
            and each not in self._doomed
            and each.rests
        ]

    def _upstream(self, front: Front, sender: Sender) -> Upstream:
        """Return a backend, a removed one for a straggler."""
        if self._removed is None or not self._stragglers_left or sender.kind != PLAIN_KIND:
            return self.next_upstream()
        if front not in self._asked:  # this request may have been sent before the removal, and read after it
            self._asked.add(front)
            return self.next_upstream()
        self._stragglers_left -= 1
        return self._removed

    # Outages: when all else is done, and nobody else can come to connect.

    def _drawn_outages(self, chance: Random) -> list[tuple[str, Planned]]:
        kinds = {sender.kind for sender in self._senders.values()}
        outages = [(PLAIN_KIND, Planned(REFUSED_BEHIND, 0.0))] * chance.randint(*TIMES) if PLAIN_KIND in kinds else []
        if _FRESH in kinds:
            outages += [(_FRESH, Planned(REFUSED, 0.0))] * chance.randint(*TIMES)
            outages += [(_FRESH, Planned(UNACCEPTED, 0.0))] * chance.randint(*TIMES)
        return outages

    @property
    def _all_done(self) -> bool:
        """Whether every other fault is done, and has shown."""
        return not (self._under_way or self._doomed or self._next or self._on_streams) and not any(
            plan.faults for plan in self._plans.values()
        )

    def _due_outage(self, front: Front, sender: Sender) -> Planned | None:
        kind, planned = self._outages[-1]
        if self._outage_now or kind != sender.kind or not self._are_connected(front):
            return None
        self._outage_now = True
        self._outages.pop()
        return planned

    def _are_connected(self, front: Front) -> bool:
        """Whether no client but this one can come to connect now."""
        held = {passing.front for passing in self._held}
        for client, sender in self._senders.items():
            of = self._front_of.get(client)
            if of is front:
                continue
            if of is None or of not in self.fronts or of.finished or (sender.kind in ANEW and of not in held):
                return False
        return True

    def _holds(self, sender: Sender) -> bool:
        """Whether whoever connects anew each time has to wait, for an outage that is meant for another."""
        return sender.kind in ANEW and bool(self._outages) and self._outages[-1][0] != sender.kind and self._all_done

    def _keep_patient(self, passing: Passing) -> None:
        """Let a client hear that it waits (RFC 9110, 15.2): an outage may last as long as its patience."""
        if passing in self._held:
            passing.front.write(_PROCESSING)
            reactor: Any = self.workspace.reactor
            reactor.callLater(_PATIENCE_S, self._keep_patient, passing)

    def _fill_queue(self) -> list[socket.socket]:
        """Accept nothing, and fill the queue of those who wait for it, so that the next one's SYN is dropped."""
        self.port.stopReading()
        self.port.socket.listen(1)
        dummies = []
        for _place in range(8):
            dummy = socket.socket()
            dummy.setblocking(False)  # noqa: FBT003
            dummy.connect_ex((self.workspace.front_host, self.workspace.front_port))
            dummies.append(dummy)
        return dummies

    def _finish(self) -> None:
        if self._removed is not None and not self._stragglers_left and not self._outage_now:
            self.finished.callback(None)


def interpreter() -> str:
    """Return what runs it: this very program."""
    return sys.executable


NO_ROUTES = {"edit": "it has no configuration, and one route"}
CANNOT = {TLS: "what it does to its clients it does to plain sockets", **NO_ROUTES}

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="control",
    binary=Binary("control", how_to_get="it is part of proxyreload", packaged=interpreter),
    mechanisms=carrying(
        CARRIES,
        Mechanism("runtime", "proxyreload's own small proxy, honest", SecuredRuntime, cannot=NO_ROUTES),
        Mechanism(
            "stays",
            "the same, but that it never shows another certificate, and says that it does",
            Stays,
            cannot=NO_ROUTES,
        ),
        Mechanism("slow", "the same, but that each change takes a tenth of a second", Slow, cannot=NO_ROUTES),
        Mechanism("faults", "the same, with faults that it counts (what selftest uses)", Faults, cannot=CANNOT),
    ),
    testing=True,
)
