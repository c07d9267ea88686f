"""A run's rows, one by one, held against what it says in sum: is anything of it unexplained?"""

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from proxyreload.history import failures

#: Classes that say what happened to a request on its way; of the others some say that the instrument failed.
_OWN = {failures.ABORTED, failures.OWN_LIMIT}
_TOLD = {
    value for name, value in vars(failures).items() if name.isupper() and isinstance(value, str) and value not in _OWN
}
_CUT = (failures.TRUNCATED, failures.RESET_MID_RESPONSE)
#: What breaks so soon before or after a backend is asked back is that backend's doing.
_BACK_US = 300_000
_STATUS = failures.status_failure(0).removesuffix("0")
_SHOWN = 5
#: Kinds whose clients have several requests under way at once.
_SEVERAL = ("h2", "grpc")


@attrs.define
class Accounts:
    """What the rows come to."""

    rows: int = 0
    sent_by: Counter[int] = attrs.field(factory=Counter)  #: by client
    by_kind: Counter[str] = attrs.field(factory=Counter)
    failed: Counter[str] = attrs.field(factory=Counter)  #: by class
    out_of_order: list[str] = attrs.field(factory=list)
    ahead: dict[int, set[int]] = attrs.field(factory=dict)  #: numbers behind one that is missing yet, by client
    cut: list[tuple[str, int]] = attrs.field(factory=list)  #: by whom an answer was begun that broke, and when, in µs

    @classmethod
    def of(cls, path: Path) -> "Accounts":
        """Read them all; raises `ValueError` or `LookupError` where a row is none."""
        accounts = cls()
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            columns = {name: number for number, name in enumerate(next(rows))}
            client, request, failure, kind = (columns[name] for name in ("client", "request", "failure", "kind"))
            instance, ended = columns["instance"], columns["time"]
            for row in rows:
                accounts.take(int(row[client]), int(row[request]), row[kind], row[failure])
                if row[failure] in _CUT:
                    accounts.cut.append((row[instance], int(row[ended])))
        return accounts

    def take(self, client: int, request: int, kind: str, failure: str) -> None:
        """Take the next row: a client's requests have one each, in their order where it has one at a time."""
        self.rows += 1
        if kind in _SEVERAL:
            self._take_one_of_several(client, request)
        else:
            if request != self.sent_by[client]:
                self.out_of_order.append(f"client {client}: request {request} after {self.sent_by[client]} rows")
            self.sent_by[client] = request + 1
        self.by_kind[kind] += 1
        if failure and failure != failures.TURNED_AWAY:
            self.failed[failure] += 1

    def _take_one_of_several(self, client: int, request: int) -> None:
        """Take one of a client that has several under way: each number once, and in the end none is missing."""
        ahead = self.ahead.setdefault(client, set())
        if request < self.sent_by[client] or request in ahead:
            self.out_of_order.append(f"client {client}: request {request} twice")
        ahead.add(request)
        while self.sent_by[client] in ahead:
            ahead.remove(self.sent_by[client])
            self.sent_by[client] += 1

    def mixed(self, plain: int) -> int:
        """Return how many requests were neither of the first clients, asked for by number, nor of the probe's."""
        return sum(sent for client, sent in self.sent_by.items() if plain <= client < max(self.sent_by))


def unexplained(accounts: Accounts, run: Mapping[str, Any]) -> list[str]:
    """Return what does not add up, or has no explanation; empty if all is well."""
    summary = run["summary"]
    kinds = Counter({name: int(kind["exchanges"]) for name, kind in summary["kinds"].items()})
    return [
        *_some("rows that do not follow", accounts.out_of_order),
        *(f"client {client}: request {min(ahead) - 1} has no row" for client, ahead in accounts.ahead.items() if ahead),
        *_differing("rows", accounts.by_kind, "exchanges", kinds),
        *_differing("rows that failed", accounts.failed, "failures", Counter(summary["failures"])),
        *(f"{number} failures of class {name!r}, which explains nothing" for name, number in _unknown(accounts.failed)),
        *_arrivals(summary),
        *_cut_by_ours(accounts, run["changes"]),
        *_seen_too_early(run["changes"]),
    ]


def _unknown(failed: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for name, number in failed.items():
        if name not in _TOLD and not (name.startswith(_STATUS) and name.removeprefix(_STATUS).isdigit()):
            yield name, number


def _differing(one: str, ones: Counter[str], other: str, others: Counter[str]) -> Iterator[str]:
    for name in sorted(ones.keys() | others.keys()):
        if ones[name] != others[name]:
            yield f"{name}: {ones[name]} {one}, {others[name]} {other}"


def _arrivals(summary: Mapping[str, Any]) -> Iterator[str]:
    """Hold what the backends counted against what the clients did: each answer came from a request that arrived.

    A request that failed may have arrived or not. More arrive only if somebody sends one again, or makes it up.
    """
    answers, arrivals = summary["answers_by_instance"], summary["arrivals_by_instance"]
    for instance in sorted(answers.keys() | arrivals.keys()):
        answered, arrived = answers.get(instance, 0), arrivals.get(instance, 0)
        if arrived < answered:
            yield f"backend {instance}: {answered} answers to {arrived} requests"
    more = sum(arrivals.values()) - sum(answers.values())
    if more > summary["failure"]:
        yield f"{more} requests arrived beyond those that were answered, and {summary['failure']} failed"


def _cut_by_ours(accounts: Accounts, changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell answers that broke when their own backend was added again: it was started anew while it gave them."""
    added = [(change["instance"], change["requested_us"]) for change in changes if change["action"] == "add"]
    for instance, cut_us in accounts.cut:
        if any(instance == again and abs(cut_us - at_us) < _BACK_US for again, at_us in added):
            yield f"an answer of backend {instance} was cut at {cut_us / 1e6:.2f} s, when that was added again"


def _seen_too_early(changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell changes that the traffic is said to have shown before they were asked for."""
    for change in changes:
        requested_us, seen_us = change["requested_us"], change["effective_us"]
        if change["action"] != "remove" and seen_us is not None and seen_us < requested_us:
            yield f"change {change['number']} was asked for at {requested_us} µs, and seen at {seen_us} µs"


def _some(what: str, found: Collection[str]) -> Iterator[str]:
    if found:
        yield f"{len(found)} {what}: {', '.join(list(found)[:_SHOWN])}"
