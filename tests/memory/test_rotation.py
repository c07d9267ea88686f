"""What the traffic shows of certificates, and of another one that is put in place."""

import pytest

from proxyreload.history.bus import EventBus
from proxyreload.history.events import UNCLEAN, Ending, FrontClosed, FrontSecured, Phase, Shown, Started
from proxyreload.history.failures import TIMEOUT
from proxyreload.record.runfile import change_as_run
from proxyreload.run.selftest import SHOWN, STAYS, Finding, compare_certificates, is_shown
from proxyreload.system.clock import ns
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.judgement import Judgement, Verdict, is_effective, judge_change, proved

from .clocks import START_NS
from .happened import change, exchange
from .observing import observed


class Watched:
    """An observation and the bus it watches, with times in seconds since the start."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.observation = observed(self.bus)
        self.bus.publish(Started(START_NS))

    def rotates(self, phase: Phase, at_s: float, certificate: str, number: int = 1) -> None:
        self.bus.publish(change(phase, START_NS + ns(at_s), "rotate", "", number, certificate=certificate))

    def answers(self, opened_s: float) -> None:
        """Let there be an answer over a connection that was opened then."""
        at_ns = START_NS + ns(opened_s)
        self.bus.exchanged(exchange(written_ns=at_ns + 1000, connect_ns=1000, ended_ns=at_ns + 2000))
        self.bus.flush()


@pytest.fixture(name="watched")
def _watched() -> Watched:
    return Watched()


def secured(watched: Watched, at_s: float, serial: str, *, resumed: bool = False, probe: bool = False) -> None:
    """Let a connection be opened over TLS, a hundredth of a second after it was begun."""
    shown = Shown(serial, resumed, offered=resumed, version="TLSv1.3")
    at_ns = START_NS + ns(at_s)
    watched.bus.publish(FrontSecured(0, 0, 40000, shown, at_ns - ns(0.01), at_ns, probe))


def test_certificates_are_counted_and_numbered_as_they_come(watched: Watched) -> None:
    certificates = watched.observation.certificates
    assert (certificates.as_run(), certificates.words) == (None, "")
    secured(watched, 1, "a")
    secured(watched, 1, "a", probe=True)
    assert certificates.words == "TLS: 1 full handshake, 0 of 0 offered sessions resumed"
    secured(watched, 1, "b")
    secured(watched, 1, "a", resumed=True)
    at_ns = START_NS + ns(2)
    for unclean in (UNCLEAN, "", f"reset, {UNCLEAN}"):
        watched.bus.publish(FrontClosed(0, 0, 40000, 1, Ending.IDLE, at_ns, probe=False, message=unclean))
    assert certificates.as_run() == {
        "full": 2,
        "resumed": 1,
        "offered": 1,
        "probe": 1,
        "without_close_notify": 2,
        "certificates": [
            {"number": 1, "serial": "a", "full": 1, "resumed": 1, "probe": 1},
            {"number": 2, "serial": "b", "full": 1, "resumed": 0, "probe": 0},
        ],
    }
    assert certificates.words == (
        "TLS: 2 full handshakes, 1 of 1 offered sessions resumed (by certificate 1: 1 and 1, 2: 1 and 0); "
        "2 connections closed without close_notify"
    )


def test_of_certificates_that_somebody_invents_there_is_an_end(watched: Watched) -> None:
    for number in range(300):
        secured(watched, 1, f"{number:x}")
    assert watched.observation.certificates.full == 256


@pytest.mark.parametrize("known", [True, False])
def test_a_rotation_is_seen_when_the_new_certificate_is_shown(watched: Watched, *, known: bool) -> None:
    secured(watched, 0.5, "a")
    watched.rotates(Phase.REQUESTED, 1, "b" if known else "")
    secured(watched, 1.05, "a")
    watched.rotates(Phase.APPLIED, 1.1, "b" if known else "")
    (change,) = watched.observation.changes
    assert is_effective(change) == (False, "no connection that was opened after it was shown a certificate")
    secured(watched, 1.105, "a")  # begun before it was applied
    secured(watched, 1.2, "a", resumed=True)
    watched.answers(1.25)
    assert not proved(watched.observation, 1)
    secured(watched, 1.4, "b", probe=True)
    secured(watched, 1.5, "a")
    secured(watched, 1.6, "b", resumed=True)
    secured(watched, 1.7, "b")
    assert proved(watched.observation, 1)
    assert change.effective_ns == START_NS + ns(1.4)
    assert change_as_run(change, START_NS, hosted=True)["certificate"] == {
        "number": 2,
        "serial": "b",
        "shown": 2,
        "shown_us": 1_400_000,
        "old_shown": 1,
        "old_shown_us": 1_500_000,
        "old_resumed": 1,
    }
    told = [line.strip() for line in summary_lines(watched.observation, Judgement(Verdict.SEAMLESS, ()), "it")]
    assert (
        "applied after 100.0 ms, certificate 2 first shown after 400.0 ms, the one before last shown after 500.0 ms, "
        "1 session of it resumed after that was applied"
    ) in told


def test_a_certificate_that_stays_is_found(watched: Watched) -> None:
    secured(watched, 0.5, "a")
    watched.rotates(Phase.REQUESTED, 1, "b")
    watched.rotates(Phase.APPLIED, 1.1, "b")
    watched.answers(1.25)
    for at_s in (1.2, 1.3):
        secured(watched, at_s, "a")
    secured(watched, 1.4, "a", resumed=True)
    (change,) = watched.observation.changes
    assert judge_change(change).verdict is Verdict.INEFFECTIVE
    assert judge_change(change).reasons[0] == (
        "the new certificate was never shown: 2 new connections were shown the one before, "
        "and 1 resumed a session of it"
    )
    told = list(summary_lines(watched.observation, judge_change(change), "it", shows="another way, a link"))
    assert "what makes it show another certificate: another way, a link" in told


def test_each_rotation_has_its_own_certificate(watched: Watched) -> None:
    secured(watched, 0.5, "a")
    for number, (at_s, serial) in enumerate(((1, "b"), (2, "c")), 1):
        for phase in (Phase.REQUESTED, Phase.APPLIED):
            watched.rotates(phase, at_s, serial, number)
        secured(watched, at_s + 0.5, serial)
    numbers = [change.rotation.number for change in watched.observation.changes if change.rotation is not None]
    assert numbers == [2, 3]
    assert [is_effective(change)[0] for change in watched.observation.changes] == [True, True]


@pytest.mark.parametrize("serial", ["a", "b"])
@pytest.mark.parametrize("stays", [True, False])
def test_a_selftest_compares_what_is_shown_with_what_was_done(watched: Watched, serial: str, *, stays: bool) -> None:
    watched.rotates(Phase.REQUESTED, 1, "b")
    secured(watched, 1.05, serial)
    (change,) = watched.observation.changes
    watched.rotates(Phase.APPLIED, 1.1, "b")
    for at_s in (1.2, 1.3, 1.4):
        secured(watched, at_s, serial)
    assert not is_shown(change)
    for at_s in (1.5, 1.6):
        secured(watched, at_s, serial)
    assert is_shown(change)
    done, seen = STAYS if stays else SHOWN, SHOWN if serial == "b" else STAYS
    assert compare_certificates(watched.observation, stays=stays) == [
        Finding("rotate", name, int(name == done), int(name == seen)) for name in sorted({done, seen})
    ]


def test_what_an_honest_proxy_loses_over_tls_is_no_part_of_a_selftest(watched: Watched) -> None:
    watched.rotates(Phase.REQUESTED, 1, "b")
    watched.rotates(Phase.APPLIED, 1.1, "b")
    secured(watched, 1.2, "b")
    at_ns = START_NS + ns(1.3)
    watched.bus.exchanged(exchange(written_ns=at_ns, ended_ns=at_ns + 2000, failure=TIMEOUT))
    watched.bus.flush()
    found = compare_certificates(watched.observation, stays=False)
    assert [finding for finding in found if not finding.right] == [Finding("get", TIMEOUT, 0, 1)]


def test_a_selftest_waits_no_longer_for_a_certificate_that_is_refused(watched: Watched) -> None:
    watched.rotates(Phase.REQUESTED, 1, "b")
    (refused,) = watched.observation.changes
    assert not is_shown(refused)
    watched.bus.publish(change(Phase.FAILED, START_NS + ns(1.1), "rotate", "", message="no", certificate="b"))
    assert is_shown(refused)
    assert compare_certificates(watched.observation, stays=True) == [Finding("rotate", STAYS, 1, 0)]
