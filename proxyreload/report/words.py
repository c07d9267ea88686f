"""What a report says in words."""

import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

import attrs

from proxyreload.explanation.quantity import counted, times
from proxyreload.ledger.fate import LOST
from proxyreload.ledger.fatewords import fate_words
from proxyreload.record.rundata import KindTold, Record
from proxyreload.report.groups import Group, GroupFigures, Volley
from proxyreload.report.story import Story
from proxyreload.verdict.judgement import detection_limit

#: Volleys that are named.
_VOLLEYS_AT_MOST = 6
#: Options that stand in a run file, by the name that the command line has for them.
_OPTIONS = ("clients", "rate", "duration", "backends", "first_port", "timeout", "seed")


def number(value: float) -> str:
    """Return ``12,345``."""
    return f"{value:,.0f}"


def sentence(record: Record) -> str:
    """Say what the run means to somebody who reads nothing else."""
    total = counted(record.exchanges, "request")
    when = f"while {_proxy(record)} was changed {times(len(record.changes))}" if record.changes else "in this run"
    if record.verdict == "seamless":
        return f"No client noticed anything: all {total} were answered, over connections that stayed open, {when}."
    if record.verdict == "graceful":
        return (
            f"Nothing was lost: all {total} were answered {when}. Connections were closed, "
            "but only after that was announced, or while they were idle."
        )
    if record.verdict == "racy":
        return (
            f"Nothing was lost here: all {total} were answered {when}. But connections that rested were closed "
            "unannounced: clients farther away, or that had sent a moment later, lose requests."
        )
    if record.verdict == "lossy":
        if not record.failure:
            return f"All {total} were answered {when}, but not everything was in order: {_list(record.reasons)}."
        return f"{_lost(record)}, {when}.{_fared(record)}"
    if record.verdict == "ineffective":
        return f"This run shows nothing about the change: the change did not come about. {_list(record.reasons)}."
    return f"This run is not valid, whatever its figures say: {_list(record.reasons) or 'no reason was recorded'}."


def _lost(record: Record) -> str:
    """Say how much was lost; what was aimed at the closing of connections stands apart."""
    (exchanges, failures), (aimed, hit) = record.rated, record.proof
    share = f", 1 in {number(exchanges / failures)}" if failures > 1 else ""
    told = f"{number(failures)} of {counted(exchanges, 'request')} failed{share}"
    return (
        f"{told}, and {number(hit)} of {number(aimed)} that were aimed at the closing of connections" if aimed else told
    )


def _fared(record: Record) -> str:
    """Say which kinds lost, and how the others fared; the words of the run, where they tell of kinds."""
    told = [reason for reason in record.reasons if any(reason.startswith(f"{kind} lost ") for kind in record.kinds)]
    told += [reason for reason in record.reasons if reason.startswith("for proof: ")]
    return f" By kind of traffic: {told[0]}." if told else ""


def limit(record: Record) -> str:
    """Say what 0 failures can show, of what was not aimed; nothing if there were any."""
    exchanges, failures = record.rated
    if failures:
        return ""
    return (not record.failure and record.detection_limit) or detection_limit(exchanges)


def notes(record: Record) -> list[str]:
    """Say what became of the requests that were lost and why, and whether the end of old processes was seen."""
    told = []
    fates = [
        f"{number(record.fates[fate.value])} {fate_words(fate.value).listed}"
        for fate in LOST
        if record.fates.get(fate.value)
    ]
    if fates:
        told.append(f"Of the requests that were lost, {', '.join(fates)}.")
    if record.causes:
        causes = sorted(record.causes.items(), key=lambda item: -item[1])
        told.append(f"Causes: {', '.join(f'{number(times)} {cause}' for cause, times in causes)}.")
    old = record.old_generation.words if record.old_generation is not None else ""
    if old:
        told.append(f"{old[0].upper()}{old[1:]}.")
    if record.certificates.words:
        told.append(f"{record.certificates.words}.")
    return told


def command_line(record: Record) -> str:
    """Return the command that ran; from its options, where it was not recorded itself."""
    if record.words:
        return shlex.join(["proxyreload", *record.words])
    words = ["proxyreload"]
    ours = ":" in record.title and not record.title.startswith(("http://", "https://"))
    words += ["--plugin", record.title] if ours else [record.url]
    for name in _OPTIONS:
        value = record.options.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    port = _port(record.url)
    if ours and port:
        words += ["--front-port", str(port)]
    return shlex.join(words)


def scenario_toml(record: Record) -> str:
    """Return the scenario as a file that ``--scenario`` takes, as far as it was recorded; empty if there is none."""
    scenario = record.scenario
    told = scenario.get("steps")
    steps = [step for step in told if isinstance(step, dict)] if isinstance(told, list) else []
    sent = [each for each in record.traffic[1:] if not each.probe]  # the first are those of --clients
    if not steps and not sent:
        return ""
    lines = [f"title = {_toml(scenario.get('title', ''))}"]
    if record.options.get("duration") is not None:
        lines.append(f"duration = {_toml(record.options['duration'])}")
    lines.append(f"backends = {_toml(scenario.get('backends', []))}")
    for each in sent:
        lines += ["", "[[traffic]]", f"kind = {_toml(each.kind)}", f"clients = {each.clients}"]
        lines += [f"rate = {_toml(each.rate_per_s)}"] if each.rate_per_s is not None else []
        lines += [f"rtt = {_toml(each.rtt_ms)}"] if each.rtt_ms else []
        lines += [f"{name} = {_toml(value)}" for name, value in each.values.items()]
    for step in steps:
        lines += ["", "[[step]]"]
        if "at_s" in step:
            lines.append(f"at = {_toml(step['at_s'])}")
        value = step.get("pause_s", step.get("instance", True))
        lines.append(f"{step.get('action')} = {_toml(value)}")
    return "\n".join(lines)


@attrs.frozen
class KindLine:
    """A line of the table of kinds."""

    name: str
    clients: str
    told: KindTold


def kind_lines(record: Record) -> list[KindLine]:
    """Return what became of each kind; nothing where there is only one beside the probe."""
    clients: dict[str, list[str]] = {}
    for sent in record.traffic:
        away = f" at {sent.rtt_ms:g} ms" if sent.rtt_ms else ""
        who = "the probe" if sent.probe else f"{number(sent.clients)}{away}"
        clients.setdefault(sent.kind, []).append(who)
    if sum(not sent.probe for sent in record.traffic) < 2:  # noqa: PLR2004  (more than one)
        return []
    return [KindLine(kind, ", ".join(clients.get(kind, [])), told) for kind, told in record.kinds.items()]


def group_words(group: Group, figures: GroupFigures) -> str:
    """Say what became of a group of clients."""
    told = f"{counted(figures.exchanges, 'request')}, {counted(figures.failures, 'failure')}"
    if figures.p50_us is not None and figures.p99_us is not None:
        told += f"; p50 {figures.p50_us / 1000:,.1f} ms, p99 {figures.p99_us / 1000:,.1f} ms"
    return f"{counted(group.clients, 'client')}: {told}."


def volley_words(told: Sequence[Volley]) -> str:
    """Say when aimed clients sent together, and what they lost."""
    named = [f"{each.sent} at {each.at_us / 1e6:.3f} s ({each.lost} lost)" for each in told[:_VOLLEYS_AT_MOST]]
    more = f", and {len(told) - _VOLLEYS_AT_MOST} more" if len(told) > _VOLLEYS_AT_MOST else ""
    return f"Volleys, each at the first sign that connections are being closed: {', '.join(named)}{more}."


def missing_text(story: Story, front_changed: int, back_changed: int) -> str:
    """Say what does not fit together between a run file and the rows beside it; empty if all does."""
    record = story.record
    if record is None:
        return ""
    failure = int((story.rows.failure > 0).sum())
    pairs = (
        ("requests", len(story.rows), record.exchanges),
        ("failures", failure, record.failure),
        ("front changed", front_changed, record.front_changed),
        ("back changed", back_changed, record.back_changed),
    )
    different = [
        f"{what}: {rows:,} in the rows, {told:,} in the run file" for what, rows, told in pairs if rows != told
    ]
    return "; ".join(different)


def _proxy(record: Record) -> str:
    return record.url if record.title == record.url else record.title.partition(":")[0]


def _list(reasons: Sequence[str]) -> str:
    return "; ".join(reasons)


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    quoted = str(value or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
