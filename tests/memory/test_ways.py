"""In which way a loss is brought about again, and what counts as the same loss."""

import pytest

from proxyreload.errors import UsageError
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.reproduction.knownloss import KnownLoss
from proxyreload.reproduction.ways import (
    AT_KILLED,
    DROPPED,
    NEW,
    RACE,
    REFUSED,
    REST,
    TWICE,
    UNDER_WAY,
    Way,
    counts_as,
    way_of,
)


def lost_by(cause: Cause, failure: str, fate: Fate = Fate.LOST_NEVER_ARRIVED, carried: int = 1) -> KnownLoss:
    """Return a loss."""
    return KnownLoss(1, 1, 1, "get", 1, failure, 1, 1, carried, 1, fate, cause, 1, 1, "")


def test_every_way_counts_what_is_the_same_loss() -> None:
    race = lost_by(Cause.KEEP_ALIVE_RACE, "reset before response, reused")
    assert counts_as(race, RACE) == ["closed before response, reused", "reset before response, reused"]
    assert counts_as(lost_by(Cause.BACKEND_GONE, "status 502"), REST) == ["status 502"]
    assert "truncated" in counts_as(lost_by(Cause.PROXY_CUT, "reset mid-response"), UNDER_WAY)
    assert counts_as(lost_by(Cause.PROXY_STALLED, "timeout"), UNDER_WAY) == ["timeout"]
    assert counts_as(lost_by(Cause.REPEATED, "carried out twice"), TWICE) == ["carried out twice"]
    assert "truncated" not in counts_as(lost_by(Cause.LISTEN_QUEUE_DROPPED, "reset before response, fresh"), DROPPED)


@pytest.mark.parametrize(
    ("cause", "failure", "fate", "killed", "way"),
    [
        (Cause.KEEP_ALIVE_RACE, "reset before response, reused", Fate.LOST_NEVER_ARRIVED, 0, RACE),
        (Cause.STALE_GENERATION, "status 503", Fate.LOST_NEVER_ARRIVED, 1, REST),
        (Cause.BACKEND_GONE, "status 502", Fate.LOST_NEVER_ARRIVED, 1, REST),
        (Cause.BACKEND_GONE, "status 502", Fate.LOST_EXECUTED, 0, REST),
        (Cause.BACKEND_GONE, "status 502", Fate.LOST_EXECUTED, 1, AT_KILLED),
        (Cause.BACKEND_GONE, "truncated", Fate.LOST_EXECUTED, 1, AT_KILLED),
        (Cause.BACKEND_GONE, "truncated", Fate.LOST_EXECUTED, 0, UNDER_WAY),
        (Cause.REPEAT_REFUSED, "status 502", Fate.LOST_EXECUTED, 1, AT_KILLED),
        (Cause.REPEATED, "carried out twice", Fate.ANSWERED_TWICE, 1, TWICE),
        (Cause.OLD_PROCESS_KILLED, "truncated", Fate.LOST_EXECUTED, 1, UNDER_WAY),
        (Cause.PROXY_CUT, "truncated", Fate.LOST_EXECUTED, 0, UNDER_WAY),
        (Cause.NOBODY_LISTENED, "refused", Fate.LOST_NEVER_ARRIVED, 0, REFUSED),
        (Cause.LISTEN_QUEUE_DROPPED, "closed before response, fresh", Fate.LOST_NEVER_ARRIVED, 0, DROPPED),
        (Cause.PROXY_REFUSED, "status 404", Fate.LOST_NEVER_ARRIVED, 0, NEW),
        (Cause.PROXY_STALLED, "timeout", Fate.LOST_NEVER_ARRIVED, 0, REST),
        (Cause.PROXY_STALLED, "timeout", Fate.LOST_EXECUTED, 0, UNDER_WAY),
    ],
)
def test_a_loss_is_brought_about_by_what_it_came_to(
    cause: Cause, failure: str, fate: Fate, killed: int, way: Way
) -> None:
    assert way_of(lost_by(cause, failure, fate), killed=bool(killed)) is way


@pytest.mark.parametrize("failure", ["closed mid-session", "reset mid-session"])
def test_a_session_is_not_brought_about(failure: str) -> None:
    with pytest.raises(UsageError, match="no script knows how to bring about"):
        way_of(lost_by(Cause.PROXY_CUT, failure, Fate.LOST_EXECUTED), killed=False)


def test_what_stalls_over_a_new_connection_is_sent_over_new_ones() -> None:
    assert way_of(lost_by(Cause.PROXY_STALLED, "timeout", carried=0), killed=False) is NEW
