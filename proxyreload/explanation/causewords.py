"""What each cause of a loss means, and what cures it: a sentence each."""

import re
from collections.abc import Mapping

import attrs

from proxyreload.ledger.cause import Cause

#: The page with a section for each.
PAGE = "docs/causes.md"


@attrs.frozen
class CauseWords:
    """One cause."""

    what: str  #: what the proxy, or another, did
    cure: str


_WORDS: Mapping[str, CauseWords] = {
    Cause.OURS.value: CauseWords(
        "proxyreload itself could not, stood still, or was ended",
        "no doing of the proxy's: let the run come to its end, and give it more descriptors, ports and CPU",
    ),
    Cause.KEEP_ALIVE_RACE.value: CauseWords(
        "the proxy closed a resting connection while a request was on its way to it",
        "close no connection that rests: say Connection: close with one more answer first, and close then",
    ),
    Cause.STALE_GENERATION.value: CauseWords(
        "the proxy's old process, or configuration, answered by itself over an older connection",
        "let the old process try another backend where one does not answer, "
        "or keep a removed backend until the old process is gone",
    ),
    Cause.OLD_PROCESS_KILLED.value: CauseWords(
        "what the change replaced was ended with requests under way",
        "let the old process finish: end it gracefully, with a time-out longer than the longest request",
    ),
    Cause.LISTEN_QUEUE_DROPPED.value: CauseWords(
        "a connection was opened, and nobody took what was sent over it",
        "hand the listening socket over to the new process, in place of opening another and closing the old one",
    ),
    Cause.NOBODY_LISTENED.value: CauseWords(
        "no connection could be opened: nobody listened",
        "let the new process listen before the old one stops, or hand the listening socket over",
    ),
    Cause.BACKEND_GONE.value: CauseWords(
        "the proxy asked a backend that had been removed and was gone, or one was killed within its answer",
        "stop a backend when the proxy has nothing more for it, and let the proxy try another where one refuses",
    ),
    Cause.REPEAT_REFUSED.value: CauseWords(
        "a backend failed it, and the proxy would not try another",
        "end a backend when what it has is done, and allow another try where one refuses: that repeats nothing",
    ),
    Cause.PROXY_REFUSED.value: CauseWords(
        "the proxy answered by itself, with an error",
        "its log says why it knew no backend, or would not ask one",
    ),
    Cause.PROXY_CUT.value: CauseWords(
        "the proxy closed a connection with the request, or its answer, under way",
        "let the change drain: what is under way is finished by what began it",
    ),
    Cause.PROXY_STALLED.value: CauseWords(
        "the proxy said nothing until the client gave up",
        "let the proxy give a backend up sooner than its clients give it up, and try another",
    ),
    Cause.ANSWER_SPOILT.value: CauseWords(
        "the client got something else than the backend had said",
        "no setting cures that: it is a defect worth an issue, data.csv quotes what came",
    ),
    Cause.REPEATED.value: CauseWords(
        "the proxy sent it to a backend again, without being asked",
        "let the proxy try again only where a backend refuses the connection, not once it may have the request",
    ),
    Cause.TURNED_AWAY.value: CauseWords(
        "the proxy said over HTTP/2 that it had not processed it, so that any client may repeat it",
        "no loss where that is true: one that a backend has carried out all the same is told in its fate",
    ),
    Cause.MADE_UP.value: CauseWords(
        "it came to a backend, and no client had sent it",
        "no setting cures that: it is a defect worth an issue",
    ),
    Cause.UNKNOWN.value: CauseWords(
        "nothing that was seen tells why",
        "--loss tells all that is known of one",
    ),
}


def cause_words(cause: str) -> CauseWords:
    """Return the words for a cause as it stands in the files; none for one that is not known here."""
    return _WORDS.get(cause) or CauseWords("", "")


def section(cause: str) -> str:
    """Return where it is explained: ``docs/causes.md#keep-alive-race``."""
    return f"{PAGE}#{re.sub('[^a-z0-9]+', '-', cause.lower()).strip('-')}"
