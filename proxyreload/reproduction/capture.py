"""``example.pcapng``: the one request that was lost, as packets made from what was recorded."""

import proxyreload
from proxyreload.history import failures
from proxyreload.reproduction.case import HOST, Case
from proxyreload.reproduction.conversation import Conversation, End
from proxyreload.reproduction.pcapng import pcapng

#: Where nobody knows a number: a client's port, and of the first byte that each end sends.
_SOME_PORT, _CLIENT_FIRST, _PROXY_FIRST = 49_152, 1_000_000, 2_000_000
_MADE = (
    "Made by proxyreload from the record of a run, not captured: numbers of bytes, windows, addresses below IP and "
    "acknowledgements are made up; what the connection had carried before is left out. "
    "Times are since the run's clients started."
)
_NEVER_OPENED = (failures.REFUSED, failures.CONNECT_TIMEOUT, failures.CONNECT_ERROR)
_RESETS = (failures.RESET_FRESH, failures.RESET_REUSED, failures.RESET_MID_RESPONSE)
_CLOSINGS = (failures.CLOSED_FRESH, failures.CLOSED_REUSED, failures.TRUNCATED)


def capture(case: Case) -> bytes:
    """Return the file."""
    loss = case.among.loss
    client = End(HOST, loss.front_port or _SOME_PORT, _CLIENT_FIRST)
    conversation = Conversation(client, End(HOST, case.front_port, _PROXY_FIRST))
    _tell(case, conversation)
    comment = f"{_MADE} Loss {loss.number}, {case.choice.name}, {case.turn.name}. {loss.evidence}"
    return pcapng(conversation.packets, f"proxyreload {proxyreload.__version__}", comment)


def _tell(case: Case, conversation: Conversation) -> None:
    """Let both ends do what they did."""
    loss, times = case.among.loss, case.example.times
    written_us = times.ended_us if times.written_us is None else times.written_us
    if loss.failure in _NEVER_OPENED:
        if loss.failure == failures.REFUSED:
            conversation.refuse(times.ended_us, loss.failure)
        else:
            conversation.ask(written_us, loss.failure)
        return
    opened_us = written_us if times.opened_us is None else min(times.opened_us, written_us)
    unknown = "" if times.opened_us is not None else "; when it was opened is not known"
    conversation.open(opened_us, f"the connection of client {loss.client}{unknown}")
    rested = "" if loss.idle_us is None else f", it had rested for {loss.idle_us} µs"
    cut = "" if case.example.whole else "; there is more of it"
    told = f"request {case.example.request_id}: the connection had carried {loss.carried}{rested}{cut}"
    conversation.request(written_us, case.example.request, told)
    _end(case, conversation)


def _end(case: Case, conversation: Conversation) -> None:
    loss, ended_us = case.among.loss, case.example.times.ended_us
    status = 200 if loss.answered else loss.status
    if status:
        answer = f"HTTP/1.1 {status} \r\n\r\n".encode("ascii")
        conversation.answer(ended_us, answer, "of this answer the record has the status alone: the rest is made up")
    elif loss.failure in _RESETS:
        conversation.reset(ended_us, loss.failure)
    elif loss.failure in _CLOSINGS:
        conversation.close(ended_us, loss.failure)
