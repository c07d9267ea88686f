"""``README.md``: what was seen, fit to be pasted into an issue.

Whatever comes from a file stands in code, where Markdown has no meaning and nobody is mentioned.
"""

from collections.abc import Iterator

from proxyreload.ledger.fate import Fate
from proxyreload.proxy.recipe import Command
from proxyreload.record.rundata import Record
from proxyreload.reproduction.case import Case
from proxyreload.system.clock import US_PER_MS
from proxyreload.system.untrusted import QUOTE_LIMIT, WORDS_LIMIT, one_line

_COMMAND_LIMIT = 500
#: What became of the request, for whoever has never heard of fates.
_FATES = {
    Fate.LOST_NEVER_ARRIVED: "no backend received it, so that sending it again is safe",
    Fate.LOST_UNEXECUTED: "a backend received a part of it and never carried it out, so that sending it again is safe",
    Fate.LOST_EXECUTED: "**a backend carried it out**: a client that sends it again does it twice",
    Fate.ANSWERED_TWICE: "it was answered, and **backends carried it out more than once**",
    Fate.LOST_EXECUTED_TWICE: "**backends carried it out more than once**",
    Fate.LOST_UNKNOWN: "whether it was carried out is not known",
}


def readme(case: Case) -> str:
    """Return it."""
    what = "carried out twice" if case.among.loss.answered else "lost"
    return "\n".join(
        [
            f"# {case.choice.name}: a request is {what} when the proxy is changed ({case.turn.name})",
            "",
            "## What was seen",
            "",
            *_seen(case),
            "",
            "The configuration before and after the change is in `configuration/`; the request that was lost is in",
            "`example.txt`, and as packets in `example.pcapng` (made from the record, not captured).",
            "",
            "## See it again",
            "",
            *_again(case),
            "",
            "## What is expected",
            "",
            case.way.expected,
            "",
            "## What is known to help",
            "",
            *_cures(case),
            "",
        ]
    )


def _seen(case: Case) -> Iterator[str]:
    record, loss, change = case.record, case.among.loss, case.turn.change
    written_us = case.example.times.written_us
    since_us = None if written_us is None else written_us - change.requested_us
    yield f"- proxy: {_code(record.version) if record.version else 'it does not tell its version'}"
    yield f"- mechanism: `{case.choice.name}`: {case.choice.mechanism.summary}"
    yield f"- change: {case.turn.name}, number {change.number} of {len(record.changes)} in the run"
    yield f"- {'repeated' if loss.answered else 'lost'}: {_lost(case, since_us)}"
    yield f"- fate: {'not known' if loss.fate is None else _FATES.get(loss.fate, loss.fate.value)}"
    yield f"- cause: {loss.cause.value}; {case.among.of_its_cause} of the run's {case.among.losses} losses have it"
    yield f"- evidence: {_code(loss.evidence, WORDS_LIMIT) if loss.evidence else 'none was kept'}"
    yield f"- verdict of the run: {_code(record.verdict)}{_because(record)}"
    ran = f"proxyreload {' '.join(record.words)}"
    made = record.versions.get("proxyreload")
    yield f"- seen by {_code(ran, _COMMAND_LIMIT)}, version {_code(str(made)) if made else 'not told'}"


def _lost(case: Case, since_us: int | None) -> str:
    """Return how a client saw it."""
    loss, rtt_ms = case.among.loss, case.example.rtt_ms
    away = f", of a client {rtt_ms:g} ms away" if rtt_ms else ""
    since = "" if since_us is None else f", sent {_ms(abs(since_us))} {_when(since_us)} the change was asked for"
    carried = f" over a connection that had carried {loss.carried}" if loss.connection is not None else ""
    rested = f" and rested for {_ms(loss.idle_us)}" if loss.idle_us is not None and carried else ""
    return f"a request of kind `{loss.kind}`{away}: {loss.failure}{since}{carried}{rested}"


def _when(since_us: int) -> str:
    return "after" if since_us >= 0 else "before"


def _because(record: Record) -> str:
    return f", {_code(record.reasons[0])}" if record.reasons else ""


def _again(case: Case) -> Iterator[str]:
    program = case.recipe.program
    yield "```console"
    yield f"$ python3 reproduce.py --program {program} --times 20"
    yield "```"
    yield ""
    yield (
        f"It needs Python 3.8 or later and `{program}`, nothing else. For each change it starts {len(case.ports)} "
        "small backends and the proxy with `configuration/before`, and puts `configuration/after` in its place: "
        f"{_made(case)}. {case.way.done}"
    )
    yield ""
    yield (
        "It listens and connects on 127.0.0.1 alone, ends all that it has started, and exits with 1 when it has seen "
        "the loss, 0 when it has not, 2 when it could not do its work. `--connections N` sets how many connections "
        "there are at once, `--free-ports` takes others than the recorded ones, `--capture FILE` keeps the real "
        "packets of the change in which the loss is seen (Linux, as root or with CAP_NET_RAW). Files in "
        "`configuration/` can be edited to try a setting."
    )


def _made(case: Case) -> str:
    """Say how the proxy is made to go by its changed files."""
    recipe = case.recipe
    if recipe.stop:
        return f"the proxy is ended before by {recipe.stop}, and started anew after that"
    parts = [f"it is sent {recipe.signal}"] if recipe.signal else []
    if recipe.successor:
        parts.append(
            f"another process is started with `{' '.join([recipe.program, *recipe.arguments, *recipe.successor])}`"
        )
    for step in case.steps:
        if isinstance(step, Command):
            parts.append(f"`{' '.join([recipe.program, *step.words])}`")
        else:
            what = f" with `{step.file or step.body}`" if step.file or step.body else ""
            parts.append(f"`{step.method} {step.path}`{what} at its socket `{step.socket}`")
    return ", then ".join(parts) or "the proxy follows its files"


def _cures(case: Case) -> Iterator[str]:
    cure = case.choice.mechanism.cure
    yield "Nothing is known." if cure is None else f"{cure.advice}: <{cure.link}>"


def _ms(duration_us: int) -> str:
    return f"{duration_us / US_PER_MS:.1f} ms"


def _code(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return a text as code, from which no backtick leads out."""
    return f"`{one_line(text, limit).replace('`', chr(39)) or 'nothing'}`"
