"""The selftest holds the ledger against books that were kept without it."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxyreload.ledger.fate import Fate
from proxyreload.ledger.ledger import Ledger
from proxyreload.proxy.interfaces import IFaultInjector
from proxyreload.run.selftest import SHOWN, STAYS, Finding, SelfTest, compare_fates
from proxyreload.verdict.judgement import Judgement, Verdict

BOOKS = Counter({("get", "answered_once"): 7, ("get", "never_sent"): 1, ("post", "lost_executed"): 2})


def compared(books: Counter[tuple[str, str]], counts: dict[str, Counter[Fate]]) -> list[Finding]:
    """Return what is found where these books and these counts of a ledger are."""
    return compare_fates(cast(IFaultInjector, SimpleNamespace(fates=books)), Ledger(counts=counts))


def outcome(**overrides: Any) -> SelfTest:
    """Return a test of which everything is right, or what the overrides make of it."""
    right = (Finding("get", "timeout", 1, 1),)
    fields: dict[str, Any] = {"findings": right, "fates": (Finding("get", "answered_once", 7, 7),), "complete": True}
    judgement = Judgement(Verdict.LOSSY, ())
    return SelfTest(**{**fields, **overrides}, exchanges=7, by_kind={"get": 7}, requests=7, judgement=judgement)


def test_fates_are_compared_by_kind() -> None:
    counts = {
        "get": Counter({Fate.ANSWERED_ONCE: 6, Fate.ANSWERED_TWICE: 1, Fate.NEVER_SENT: 1, Fate.LOST_UNKNOWN: 0}),
        "post": Counter({Fate.LOST_EXECUTED: 2}),
        "idle": Counter[Fate](),
    }
    assert compared(BOOKS, counts) == [
        Finding("get", "answered_once", 7, 6),
        Finding("get", "answered_twice", 0, 1),
        Finding("get", "never_sent", 1, 1),
        Finding("post", "lost_executed", 2, 2),
    ]


def test_a_fate_that_was_not_found_is_told() -> None:
    assert [finding.right for finding in compared(BOOKS, {})] == [False] * 3


@pytest.mark.parametrize(
    ("overrides", "exact"),
    [
        ({}, True),
        ({"fates": (Finding("post", "answered_twice", 1, 0), Finding("post", "answered_once", 6, 7))}, False),
        ({"findings": (Finding("post", "timeout", 1, 0),)}, False),
        ({"over_tls": (Finding("rotate", STAYS, 1, 1),)}, True),
        ({"over_tls": (Finding("rotate", SHOWN, 0, 1), Finding("rotate", STAYS, 1, 0))}, False),
        ({"complete": False}, False),
    ],
    ids=["all right", "a fate is not", "a failure is not", "it stays", "it does not stay", "not complete"],
)
def test_it_is_exact_if_failures_and_fates_are(overrides: dict[str, Any], *, exact: bool) -> None:
    assert outcome(**overrides).exact is exact
