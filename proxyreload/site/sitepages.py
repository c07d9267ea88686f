"""Every page of a site, as text: functions of its editions and of what evidence there is."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from proxyreload.comparison.most import most_of_each
from proxyreload.explanation.causewords import CauseWords, cause_words
from proxyreload.ledger.cause import Cause
from proxyreload.site.address import plain_part
from proxyreload.site.chart import HEIGHT, WIDTH, chart_of
from proxyreload.site.collection import Collection, Subject, conditions_of, kinds_of
from proxyreload.site.edition import TIMES, Edition, RowTold
from proxyreload.site.evidence import Evidence
from proxyreload.site.filling import filled
from proxyreload.site.kindanswer import Answer, answers_of, called, cure_of, part_of
from proxyreload.site.marks import MARKS, mark_of, worst_of

#: What is shown of a configuration's files within a page; all of them are linked to.
_SHOWN_AT_MOST = 20
_EXAMPLES_AT_MOST = 4


@attrs.frozen
class ConfigurationText:
    """A file of a configuration, shown within a page."""

    name: str
    address: str
    text: str


#: Returns the text of a file of the site, bounded.
Reading = Callable[[str], str]


@attrs.frozen
class Pages:
    """The pages of a site."""

    collection: Collection
    subjects: Sequence[Subject]
    evidence: Mapping[str, tuple[Evidence, ...]]  #: by the rows' parts of addresses
    read: Reading
    schemas: Sequence[str]  #: their addresses

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield each page's address and text."""
        yield "index.html", self._matrix(self.subjects, None)
        yield "causes.html", self._causes()
        for edition in self.collection.editions:
            within = Collection((edition,)).subjects
            yield edition.address, self._matrix(within, edition)
            for row in edition.rows:
                yield row.address, self._cell(row, edition, within)
        for subject in self.subjects:
            yield subject.address, self._mechanism(subject)

    def _filled(self, template: str, address: str, **values: object) -> str:
        return filled(
            template,
            root="../" * address.count("/"),
            mark_of=mark_of,
            marks=MARKS,
            schemas=self.schemas,
            called=called,
            anchor=plain_part,
            command_line=_command_line,
            **values,
        )

    def _matrix(self, subjects: Sequence[Subject], edition: Edition | None) -> str:
        """Return the front page, or that of one edition."""
        rows = [row for subject in subjects for row in subject.newest]
        answers = [answer for subject in subjects for answer in answers_of(subject, subjects)]
        return self._filled(
            "front.html" if edition is None else "edition.html",
            "index.html" if edition is None else edition.address,
            collection=self.collection,
            edition=edition,
            subjects=subjects,
            kinds=kinds_of(rows),
            conditions=conditions_of(subjects),
            answers=answers,
            examples=_examples(answers),
            part_of=part_of,
            costs=[_Cost(subject) for subject in subjects if any(row.judged for row in subject.newest)],
            times=TIMES,
            plugins=list({subject.plugin: None for subject in subjects}),
            verdicts=[mark.verdict for mark in MARKS if mark.verdict in _verdicts(rows)],
        )

    def _mechanism(self, subject: Subject) -> str:
        states = subject.states
        days = [self.collection.edition(rows[0].edition).day for rows in states]
        first = subject.rows[0]
        answers = list(answers_of(subject, self.subjects))
        return self._filled(
            "mechanism.html",
            subject.address,
            subject=subject,
            answers=answers,
            cure=cure_of(subject.leaving),
            causes=_told(_causes(subject.newest)),
            conditions=list({row.condition: None for row in subject.rows}),
            history=list(zip(states, days, strict=True)),
            kinds=kinds_of(subject.rows),
            part_of=part_of,
            chart=chart_of(states, days),
            width=WIDTH,
            height=HEIGHT,
            edition=self.collection.edition(first.edition),
            evidence=[(row, self.evidence.get(row.part, ())) for row in subject.newest],
            configuration=self._configuration(subject.newest),
        )

    def _cell(self, row: RowTold, edition: Edition, within: Sequence[Subject]) -> str:
        subject = next(each for each in self.subjects if each.name == row.mechanism)
        others = [each for each in edition.rows if each.mechanism == row.mechanism and each.part != row.part]
        alone = Subject(row.mechanism, (row,))
        return self._filled(
            "cell.html",
            row.address,
            row=row,
            edition=edition,
            subject=subject,
            answers=list(answers_of(alone, within)),
            causes=_told(row.causes),
            others=others,
            evidence=self.evidence.get(row.part, ()),
            configuration=self._configuration([row]),
            times=TIMES,
        )

    def _causes(self) -> str:
        """Return what each cause means and what cures it, and with which mechanisms it is."""
        shown: dict[str, list[Subject]] = {}
        for subject in self.subjects:
            for cause in _causes(subject.newest):
                shown.setdefault(cause, []).append(subject)
        everywhere = dict.fromkeys(cause for subject in self.subjects for row in subject.rows for cause in _named(row))
        named = [cause.value for cause in Cause] + [cause for cause in everywhere if not _is_known(cause)]
        causes = [(cause, cause_words(cause), shown.get(cause, [])) for cause in named]
        return self._filled("causes.html", "causes.html", causes=causes)

    def _configuration(self, rows: Sequence[RowTold]) -> list[ConfigurationText]:
        """Return the configuration that the first of these rows was run from that has kept one."""
        for row in rows:
            for each in self.evidence.get(row.part, ()):
                if each.configuration:
                    names = each.configuration[:_SHOWN_AT_MOST]
                    return [
                        ConfigurationText(
                            name.partition("/")[2].removesuffix(".txt"),
                            f"{each.folder}/{name}",
                            self.read(f"{each.folder}/{name}"),
                        )
                        for name in names
                    ]
        return []


@attrs.frozen
class _Cost:
    """What a mechanism's changes cost in its newest state: the most under any condition."""

    subject: Subject

    def most(self, name: str) -> float | None:
        """Return the most of a figure of the rows'."""
        return _most(getattr(row, name) for row in self.subject.newest)

    def price(self, name: str) -> float | None:
        """Return the most of a figure of the price."""
        return _most(getattr(row.price, name) for row in self.subject.newest if row.price is not None)

    @property
    def on_old(self) -> dict[str, int]:
        """How many clients of which kind were on old generations, at most at once."""
        return most_of_each(row.price.on_old for row in self.subject.newest if row.price is not None)

    def time(self, name: str) -> float | None:
        """Return the most of a time."""
        return _most(row.times[name] for row in self.subject.newest)

    @property
    def verdict(self) -> str:
        """The worst."""
        return self.subject.verdict


def _examples(answers: Sequence[Answer]) -> list[str]:
    """Return what may be asked: of a few proxies a kind each that is lost, of each another one where it can be."""
    lost: dict[str, list[str]] = {}
    for answer in answers:
        if answer.lost and not answer.aimed:
            lost.setdefault(answer.plugin, []).append(answer.kind)
    asked: dict[str, str] = {}
    for plugin, kinds in list(lost.items())[:_EXAMPLES_AT_MOST]:
        asked[plugin] = min(reversed(kinds), key=list(asked.values()).count)
    return [f"{plugin} {kind}" for plugin, kind in asked.items()]


def _most(values: Iterator[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _verdicts(rows: Sequence[RowTold]) -> set[str]:
    told = {part_of(row, tally.kind).verdict for row in rows for tally in row.kinds}
    return {worst_of([verdict]) for verdict in told | {row.verdict for row in rows}}


def _causes(rows: Sequence[RowTold]) -> dict[str, int]:
    total: dict[str, int] = {}
    for row in rows:
        for cause, count in row.causes.items():
            total[cause] = total.get(cause, 0) + count
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _named(row: RowTold) -> Iterator[str]:
    """Yield every cause that a page about a row leads to."""
    yield from row.causes
    for tally in row.kinds:
        yield from tally.causes


def _told(causes: Mapping[str, int]) -> list[tuple[str, int, CauseWords]]:
    return [(cause, count, cause_words(cause)) for cause, count in causes.items()]


def _is_known(cause: str) -> bool:
    return any(cause == known.value for known in Cause)


def _command_line(words: Sequence[str]) -> str:
    return shlex.join(words)
