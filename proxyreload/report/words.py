"""What a report says in words."""

import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from proxyreload.report.rundata import Record
from proxyreload.report.story import Story
from proxyreload.verdict.judgement import detection_limit

#: Options that stand in a run file, by the name that the command line has for them.
_OPTIONS = ("clients", "rate", "duration", "backends", "first_port", "timeout", "seed")


def number(value: float) -> str:
    """Return ``12,345``."""
    return f"{value:,.0f}"


def counted(value: int, noun: str) -> str:
    """Return ``1 failure`` or ``12,345 failures``."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def sentence(record: Record) -> str:
    """Say what the run means to somebody who reads nothing else."""
    total = counted(record.exchanges, "request")
    when = f"while {_proxy(record)} was changed {_times(len(record.changes))}" if record.changes else "in this run"
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
        share = f", 1 in {number(record.exchanges / record.failure)}" if record.failure > 1 else ""
        return f"{number(record.failure)} of {total} failed{share}, {when}."
    if record.verdict == "ineffective":
        return f"This run shows nothing about the change: the change did not come about. {_list(record.reasons)}."
    return f"This run is not valid, whatever its figures say: {_list(record.reasons) or 'no reason was recorded'}."


def limit(record: Record) -> str:
    """Say what 0 failures can show; nothing if there were any."""
    return "" if record.failure else record.detection_limit or detection_limit(record.exchanges)


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
    if not steps:
        return ""
    lines = [f"title = {_toml(scenario.get('title', ''))}", f"duration = {_toml(record.options.get('duration'))}"]
    lines.append(f"backends = {_toml(scenario.get('backends', []))}")
    for step in steps:
        lines += ["", "[[step]]"]
        if "at_s" in step:
            lines.append(f"at = {_toml(step['at_s'])}")
        value = step.get("pause_s", step.get("instance", True))
        lines.append(f"{step.get('action')} = {_toml(value)}")
    return "\n".join(lines)


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


def _times(times: int) -> str:
    return {1: "once", 2: "twice"}.get(times, f"{number(times)} times")


def _list(reasons: Sequence[str]) -> str:
    return "; ".join(reasons)


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    quoted = str(value or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
