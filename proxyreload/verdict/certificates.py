"""By which certificates the clients' connections stood: what a proxy has shown, and whose sessions it has resumed."""

from collections.abc import Sequence

import attrs

from proxyreload.history.events import FrontSecured

#: A proxy that is odd, or hostile, may show another one each time: so many are counted, and no more.
KNOWN_AT_MOST = 256


@attrs.define
class Certificate:
    """One, and how many connections stood by it."""

    number: int  #: in the order in which they were put in place, or first shown
    serial: str
    full: int = 0  #: to which it was shown
    resumed: int = 0  #: that resumed a session which had begun with it
    probe: int = 0  #: of the probe's, to which it is always shown

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        return attrs.asdict(self)


@attrs.define
class Certificates:
    """All of a run's."""

    known: dict[str, Certificate] = attrs.field(factory=dict)  #: by serial
    offered: int = 0  #: connections, not the probe's, that offered a session
    unclean: int = 0  #: that the proxy closed without ``close_notify``, not the probe's
    _rotation: "Rotation | None" = None  # the latest

    @property
    def full(self) -> int:
        """Full handshakes of clients."""
        return sum(each.full for each in self.known.values())

    @property
    def resumed(self) -> int:
        """Sessions that clients resumed."""
        return sum(each.resumed for each in self.known.values())

    @property
    def probe(self) -> int:
        """Handshakes of the probe's."""
        return sum(each.probe for each in self.known.values())

    def number(self, serial: str) -> int:
        """Return a certificate's number, which it has from now on; 0 if there are too many."""
        certificate = self.known.get(serial)
        if certificate is None:
            if len(self.known) >= KNOWN_AT_MOST:
                return 0
            certificate = self.known[serial] = Certificate(len(self.known) + 1, serial)
        return certificate.number

    def secured(self, events: Sequence[FrontSecured]) -> None:
        """Count connections that were opened."""
        for event in events:
            shown = event.shown
            if not self.number(shown.serial):
                continue
            certificate = self.known[shown.serial]
            if event.probe:
                certificate.probe += 1
                continue
            self.offered += shown.offered
            certificate.resumed += shown.resumed
            certificate.full += not shown.resumed
        rotation = self._rotation
        if rotation is not None:
            for event in events:
                rotation.secured(event)
            rotation.number = self.number(rotation.serial) if rotation.serial else 0

    def rotated(self, serial: str) -> "Rotation":
        """Return what comes of another certificate that is to be put in place, from now on; "": it is not known."""
        before = frozenset(self.known)
        self._rotation = Rotation(serial, before, self.number(serial) if serial else 0)
        return self._rotation

    def as_run(self) -> dict[str, object] | None:
        """Return it as it stands in ``run.json``; None where nothing was said over TLS."""
        if not self.known:
            return None
        return {
            "full": self.full,
            "resumed": self.resumed,
            "offered": self.offered,
            "probe": self.probe,
            "without_close_notify": self.unclean,
            "certificates": [each.as_run() for each in self.known.values()],
        }

    @property
    def words(self) -> str:
        """What it comes to in a line; empty where nothing was said over TLS."""
        if not self.known:
            return ""
        told = f"{_handshakes(self.full)}, {self.resumed} of {self.offered} offered sessions resumed"
        if len(self.known) > 1:
            each = (f"{one.number}: {one.full} and {one.resumed}" for one in self.known.values())
            told += f" (by certificate {', '.join(each)})"
        unclean = f"; {self.unclean} connections closed without close_notify" if self.unclean else ""
        return f"TLS: {told}{unclean}"


@attrs.define
class Rotation:
    """What new connections were shown since another certificate was to be put in place."""

    serial: str  #: of that one; empty: it is any that had not been shown before
    before: frozenset[str] = frozenset()  #: those that had
    number: int = 0  #: of that one, once it is known
    applied_ns: int = 0  #: when the proxy had it, as it says
    shown: int = 0  #: how many connections were shown it
    shown_ns: int = 0  #: when the first one was
    old_shown: int = 0  #: how many were begun after it was applied, and shown another all the same
    old_shown_ns: int = 0  #: when another was last shown, whenever that connection was begun
    old_resumed: int = 0  #: how many were begun after it was applied, and resumed a session that had begun with another

    def secured(self, event: FrontSecured) -> None:
        """Note what one connection was shown."""
        shown, since = event.shown, 0 < self.applied_ns < event.begun_ns
        if not (self.serial or shown.resumed or shown.serial in self.before):
            self.serial = shown.serial
        if shown.serial == self.serial:
            self.shown += not shown.resumed
            if not (shown.resumed or self.shown_ns):
                self.shown_ns = event.at_ns
        elif shown.resumed:
            self.old_resumed += since
        else:
            self.old_shown += since
            self.old_shown_ns = event.at_ns

    @property
    def why_not(self) -> str:
        """Why it is not effective, empty if it is."""
        if self.shown:
            return ""
        if not self.old_shown and not self.old_resumed:
            return "no connection that was opened after it was shown a certificate"
        resumed = f", and {self.old_resumed} resumed a session of it" if self.old_resumed else ""
        return (
            f"the new certificate was never shown: {self.old_shown} new connections were shown the one before{resumed}"
        )


def _handshakes(number: int) -> str:
    return "1 full handshake" if number == 1 else f"{number} full handshakes"
