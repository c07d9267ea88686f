"""``example.txt``: the one request that was lost, as text."""

from collections.abc import Iterator

from proxyreload.reproduction.case import HOST, Case
from proxyreload.reproduction.knownloss import KnownLoss
from proxyreload.system.clock import US_PER_MS
from proxyreload.system.untrusted import printable

#: How far times are set in, and lines of a request that are shown.
_INDENT, _LINES_AT_MOST, _LINE_LIMIT = 12, 100, 1000


def transcript(case: Case) -> str:
    """Return it, a line for each thing that is known of it, in the order of time."""
    example, change = case.example, case.turn.change
    loss, times = example.loss, example.times
    port = "?" if loss.front_port is None else loss.front_port
    happened = [
        (times.opened_us, f"client {loss.client} opens a connection: {HOST}:{port} to {HOST}:{case.front_port}", ()),
        (change.requested_us, f"change {change.number} is asked for: {case.turn.name}", ()),
        (change.applied_us, f"the change is applied: {case.choice.name}", ()),
        (times.written_us, f"client {loss.client} sends request {example.request_id}{_rested(loss)}", _sent(case)),
        (times.first_byte_us, "the first byte of an answer comes", ()),
        (times.ended_us, f"{loss.failure}: {_came_back(loss)}", ()),
    ]
    lines = [
        f"Loss {loss.number} of a run of proxyreload, made from its record: not captured.",
        "Times are in ms since the change was asked for. What is not known, or was not so, is not in it.",
        "",
    ]
    for at_us, what, more in sorted((each for each in happened if each[0] is not None), key=lambda each: each[0] or 0):
        assert at_us is not None  # noqa: S101
        lines.append(f"{(at_us - change.requested_us) / US_PER_MS:>{_INDENT}.3f}  {what}")
        lines += [f"{'':{_INDENT}}  | {line}" for line in more]
    fate = "not known" if loss.fate is None else loss.fate.value
    lines += ["", f"fate: {fate}", f"cause: {loss.cause.value}", f"evidence: {loss.evidence or 'none'}", ""]
    return "\n".join(lines)


def _rested(loss: KnownLoss) -> str:
    """Say what its connection had done before."""
    rested = "" if loss.idle_us is None else f" and rested for {loss.idle_us / US_PER_MS:.3f} ms"
    return f" over it; it had carried {loss.carried}{rested}" if loss.carried or rested else ""


def _sent(case: Case) -> Iterator[str]:
    """Yield the lines of the request."""
    head, _end, body = case.example.request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[:_LINES_AT_MOST]:
        yield printable(line, _LINE_LIMIT)
    yield ""
    if body:
        yield printable(body, _LINE_LIMIT)
    if not case.example.whole:
        yield "(there is more of it)"


def _came_back(loss: KnownLoss) -> str:
    if loss.answered:
        return "its client had an answer all the same; when which backend carried it out is not in the record"
    if loss.status:
        return f"the answer is {loss.status}; its bytes are not in the record"
    return "what came of an answer is not in the record" if "mid-response" in loss.failure else "nothing came back"
