"""One run's part of the page."""

from collections.abc import Sequence
from typing import Any

import attrs
from bokeh.plotting import figure

from proxyreload.explanation.quantity import counted
from proxyreload.record.rundata import Record
from proxyreload.report.bins import ANOTHER, instances
from proxyreload.report.connections import (
    OPEN,
    BackConnections,
    FrontConnections,
    back_connections,
    front_changed,
    front_connections,
)
from proxyreload.report.curves import baseline_curve, curves, measured
from proxyreload.report.figures import LATENCY_KEYS, seconds_range, windows_of
from proxyreload.report.groups import Group, figures_of, groups, several, volleys
from proxyreload.report.livedwords import lived_words
from proxyreload.report.losses import Loss, classes, explained, failed, losses, thinned
from proxyreload.report.outliving import generation_keys, has_paces, lived_figure, lived_on
from proxyreload.report.palette import NEUTRAL, Fill, Key, fills
from proxyreload.report.percentiles import CHANGES_AT_MOST, tail_figure, tail_keys
from proxyreload.report.sequences import CauseTold, sequences
from proxyreload.report.story import Story
from proxyreload.report.strips import (
    CLIENTS_AT_MOST,
    OF_A_GROUP,
    VOLLEY,
    Drawn,
    Strips,
    back_figure,
    end_keys,
    front_figure,
)
from proxyreload.report.timeline import latency_figure, losses_figure, rate_figure, source_of
from proxyreload.report.words import (
    KindLine,
    command_line,
    group_words,
    kind_lines,
    limit,
    missing_text,
    notes,
    number,
    scenario_toml,
    sentence,
    volley_words,
)

_STRIPS = "A strip for each client, a block for each of its connections to the proxy, empty while it rests."


@attrs.frozen
class Budget:
    """How much of a run is shown, so that the page stays small."""

    losses: int = 10_000
    marks: int = 1_500
    front: int = 1_200
    back: int = 800
    slices: int = 2_500

    def part(self, share: float) -> "Budget":
        """Return a share of it."""
        return Budget(*(max(10, int(value * share)) for value in attrs.astuple(self)))


@attrs.frozen(eq=False)
class Panel:
    """A figure with its legend, and what it shows in words."""

    name: str
    title: str
    drawn: figure
    caption: str
    keys: Sequence[Key]


@attrs.frozen(eq=False)
class Count:
    """One of the counts at the top."""

    key: str  #: of the run file's summary
    label: str
    value: int


@attrs.frozen(eq=False)
class Section:
    """Everything that the page says of one run."""

    number: int
    story: Story
    sentence: str
    limit: str
    notes: Sequence[str]
    mismatch: str
    counts: Sequence[Count]
    command: str
    scenario: str
    panels: Sequence[Panel]
    kinds: Sequence[KindLine]  #: of the table of kinds, none if there is only one
    causes: Sequence[CauseTold]  #: with an example of each
    losses: dict[str, Any]  #: the failures' table, for the script
    losses_total: int
    classes: Sequence[tuple[str, int]]

    @property
    def record(self) -> Record | None:
        """The run file, if there is one."""
        return self.story.record

    @property
    def title(self) -> str:
        """What ran."""
        return self.story.title

    @property
    def verdict(self) -> str:
        """The verdict, where there is a run file."""
        return self.record.verdict if self.record else "no verdict"


def section(story: Story, index: int, budget: Budget) -> Section:
    """Make one run's part."""
    front, back = front_connections(story), back_connections(story)
    seen = changed = front_changed(story, front), int(back.changed.sum())
    lost, named = failed(story), classes(story)
    record = story.record
    total, failure = len(story.rows), len(lost)
    if record is not None:
        total, failure, changed = record.exchanges, record.failure, (record.front_changed, record.back_changed)
    counts = (
        Count("exchanges", "requests", total),
        Count("success", "success", record.success if record else total - failure),
        Count("failure", "failure", failure),
        Count("front_changed", "front changed", changed[0]),
        Count("back_changed", "back changed", changed[1]),
    )
    return Section(
        number=index,
        story=story,
        sentence=sentence(record) if record else _bare_sentence(total, failure),
        limit=limit(record) if record else "",
        notes=notes(record) if record else [],
        mismatch=missing_text(story, *seen),
        counts=counts,
        command=command_line(record) if record else "",
        scenario=scenario_toml(record) if record else "",
        kinds=kind_lines(record) if record else (),
        panels=_Panels(story, budget, front, back).all(lost, named) if len(story.rows) else (),
        causes=sequences(story.told) if story.told is not None else (),
        losses=_table(explained(story, losses(story, thinned(lost, budget.losses)))),
        losses_total=len(lost),
        classes=named,
    )


def _bare_sentence(total: int, failure: int) -> str:
    return f"{number(failure)} of {counted(total, 'request')} failed. Without its run file there is no verdict."


def _table(shown: Sequence[Loss]) -> dict[str, Any]:
    """Return the table's rows, numbers in µs, names by their place in a list."""
    told = [(each.failure, each.instance, each.kind, each.fate, each.cause, each.generation) for each in shown]
    names = [sorted(set(column)) for column in zip(*told, strict=True)] or [[]] * 6
    place_of = [{text: place for place, text in enumerate(texts)} for texts in names]
    rows = [
        (
            *(loss.time_us, loss.since_us, loss.change, loss.client, loss.age_us, loss.carried),
            *(places[text] for places, text in zip(place_of, texts, strict=True)),
        )
        for loss, texts in zip(shown, told, strict=True)
    ]
    return {"names": names, "rows": rows}


class _Panels:
    """The figures of one run, which share their range of time."""

    def __init__(self, story: Story, budget: Budget, front: FrontConnections, back: BackConnections) -> None:
        self.front = front
        self.back = back
        self.story = story
        self.budget = budget
        self.seconds = seconds_range(story)
        self.windows = windows_of(story)
        self.groups = groups(story)
        self.names = instances(story)
        self.fills = fills(self.names)
        self.keys = self._backend_keys(self.names)

    def all(self, lost: Any, named: list[tuple[str, int]]) -> list[Panel]:  # noqa: ANN401
        panels = self._timeline()
        if len(lost):
            panels.append(self._losses(lost, named))
        return [*panels, *self._connections(), *self._lived(), *self._tail()]

    def _backend_keys(self, names: Sequence[str]) -> list[Key]:
        keys = [Key(f"backend {name}", self.fills[name].colour, hatch=self.fills[name].hatch) for name in names]
        answered = {name for name in self.story.rows.instances if name}
        return keys if answered <= set(names) else [*keys, Key(ANOTHER, Fill(NEUTRAL).colour)]

    def _timeline(self) -> list[Panel]:
        story = self.story
        shown, whole = source_of(story, self.names, self.seconds, self.budget.slices)
        mean = len(story.rows) / story.duration_us * 1e6
        lowest = int(whole.total_per_s.argmin())
        caption = (
            f"{counted(len(story.rows), 'request')} in {story.duration_us / 1e6:.1f} s, {number(mean)} a second; "
            f"the fewest, {number(whole.total_per_s[lowest])}/s, at {whole.left_us[lowest] / 1e6:.2f} s."
        )
        if story.changes:
            caption += " Each change is a dashed line at its request and grey until it was seen in the traffic."
        rate = rate_figure(story, shown, whole, self.fills, self.seconds, self.windows)
        panels = [Panel("rate", "Answers by backend", rate, caption, self.keys)]
        if measured(story).any():
            latency = latency_figure(shown, self.seconds, self.windows)
            whose = "of the clients asked for by number" if several(self.groups) else "the probe's not counted"
            panels.append(Panel("latency", "Latency", latency, f"Of successes, {whose}.", LATENCY_KEYS))
        return panels

    def _losses(self, lost: Any, named: list[tuple[str, int]]) -> Panel:  # noqa: ANN401
        marks = losses(self.story, thinned(lost, self.budget.marks))
        caption = f"{counted(len(lost), 'failure')}, a mark for each."
        if len(marks) < len(lost):
            caption = f"{counted(len(lost), 'failure')}; marks for {number(len(marks))} of them, evenly spread."
        drawn = losses_figure(marks, named, self.seconds, self.windows)
        return Panel("losses", "Failures", drawn, caption, ())

    def _connections(self) -> list[Panel]:
        return [*self._front(), *self._back()]

    def _front(self) -> list[Panel]:
        """Return the strips of all clients; a panel for each group, if there are several."""
        story, front = self.story, self.front
        if not len(front):
            return []
        told, changed = self.groups, number(front_changed(story, front))
        keys = [*self.keys, *end_keys(story, front), *generation_keys(story)]
        if not several(told):
            strips = Strips(story, front, told, CLIENTS_AT_MOST, self.budget.front)
            drawn, shown = front_figure(strips, self.fills, self.seconds, self.windows)
            caption = (
                f"{_STRIPS} Every block but a client's first counts in front changed ({changed}, without the probe's). "
                f"{_ended(strips)}{_paced(strips)}{_of(shown)}"
            )
            return [Panel("front", "The clients' connections", drawn, caption, keys)]
        panels: list[Panel] = []
        for index, group in enumerate(told):
            strips = Strips(story, front, [group], OF_A_GROUP, max(100, self.budget.front // len(told)))
            if strips.mine.any():
                panels.append(self._strips_of(index, group, strips, [] if panels else keys))
        if panels:
            lead = (
                f"{_STRIPS} Every block but a client's first counts in front changed ({changed}) in this section, "
                "that of the clients asked for by number. "
            )
            panels[0] = attrs.evolve(panels[0], caption=lead + panels[0].caption)
        return panels

    def _strips_of(self, index: int, group: Group, strips: Strips, keys: Sequence[Key]) -> Panel:
        """Return one group's strips."""
        told = volleys(self.story, group)
        drawn, shown = front_figure(strips, self.fills, self.seconds, self.windows, told)
        caption = f"{group_words(group, figures_of(self.story, group))} {_ended(strips)}{_paced(strips)}{_of(shown)}"
        if told:
            caption += f" {volley_words(told)}"
            keys = [*keys, Key("a volley", VOLLEY, dash="solid")]
        title = f"Connections of {group.title}"
        if shown.clients < group.clients:
            title += f": {shown.clients} of {group.clients} clients, those first that lost something"
        return Panel("front" if not index else f"front-{index}", title, drawn, caption, keys)

    def _back(self) -> list[Panel]:
        story, back = self.story, self.back
        if back.probe_only.all():
            return []
        drawn, shown = back_figure(story, back, self.fills, self.seconds, self.windows, self.budget.back)
        caption = (
            "From each connection's first answer to its last. Marked with a triangle are those that count in "
            f"back changed ({number(int(back.changed.sum()))}).{_of(shown)}"
        )
        if back.probe_only.any():
            caption += f" {number(int(back.probe_only.sum()))} that carried only the probe's requests are left out."
        return [Panel("back", "The proxy's connections to the backends", drawn, caption, self.keys)]

    def _lived(self) -> list[Panel]:
        """Return what lived on after the changes."""
        record, rows = self.story.record, lived_on(self.story, self.fills)
        if record is None or not rows:
            return []
        caption = (
            "Old processes of the proxy from when others took over, removed backends from when nothing new was sent to "
            f"them, as long as they were needed. {lived_words(record)}"
        )
        drawn = lived_figure(rows, self.seconds, self.windows)
        return [Panel("lived", "What lived on after the changes", drawn, caption, ())]

    def _tail(self) -> list[Panel]:
        baseline = baseline_curve(self.story)
        told = [*curves(self.story, CHANGES_AT_MOST), *([] if baseline is None else [baseline])]
        if not told:
            return []
        caption = (
            "The further right, the rarer: of a hundred answers one took longer than the latency at 99 %. Around a "
            "change is from its request to one second after it was applied."
        )
        if baseline is not None:
            caption += " The baseline is the same clients straight at the backends."
        return [Panel("tail", "Latency by percentile", tail_figure(told), caption, tail_keys(told))]


def _ended(strips: Strips) -> str:
    """Say how connections ended, but those that their clients close themselves."""
    ends = strips.front.ends(strips.mine & ~strips.fresh)
    told = ", ".join(f"{number(count)} {name}" for name, count in ends.items() if count)
    return f"How they ended: {told.replace(OPEN, 'open at the end')}." if told else ""


def _paced(strips: Strips) -> str:
    """Say what light and dark are, where it is known when messages came."""
    return " The lighter a strip, the fewer messages came then." if has_paces(strips.story, strips.shown()) else ""


def _of(shown: Drawn) -> str:
    if shown.shown == shown.total:
        return ""
    return f" Drawn are {number(shown.shown)} of {number(shown.total)}, those around the changes first."
