"""What became of requests, in words: above all, whether they can be repeated."""

from collections.abc import Mapping

import attrs

from proxyreload.ledger.fate import Fate


@attrs.frozen
class FateWords:
    """A fate, said of one request, of some, where all of a group have it, and in a list of several fates."""

    one: str
    some: str
    all: str
    listed: str


_WORDS: Mapping[str, FateWords] = {
    Fate.ANSWERED_ONCE.value: FateWords(
        "answered, carried out once",
        "answered",
        "all were answered",
        "were carried out once, and answered",
    ),
    Fate.ANSWERED_TWICE.value: FateWords(
        "answered, and carried out more than once",
        "answered, and carried out more than once",
        "all were answered, and carried out more than once",
        "were carried out more than once, and answered",
    ),
    Fate.LOST_NEVER_ARRIVED.value: FateWords(
        "no backend received it: safe to repeat",
        "reached no backend: safe to repeat",
        "none reached a backend: safe to repeat",
        "never reached a backend (safe to repeat)",
    ),
    Fate.LOST_UNEXECUTED.value: FateWords(
        "a backend received part of it, and did not carry it out: safe to repeat",
        "arrived in part, never carried out: safe to repeat",
        "all arrived in part, none was carried out: safe to repeat",
        "reached one, but were not carried out (safe to repeat)",
    ),
    Fate.LOST_EXECUTED.value: FateWords(
        "carried out: its client cannot know, and repeating it does it twice",
        "carried out: the client cannot know, repeating does it twice",
        "all were carried out: the client cannot know, repeating does it twice",
        "were carried out (their clients cannot know)",
    ),
    Fate.LOST_EXECUTED_TWICE.value: FateWords(
        "carried out more than once, and its client had no answer",
        "carried out more than once, without an answer",
        "all were carried out more than once, without an answer",
        "were carried out more than once",
    ),
    Fate.LOST_UNKNOWN.value: FateWords(
        "not known: a backend that may have had it died with its record",
        "may have been carried out: a backend died with its record",
        "not known: a backend that may have had them died with its record",
        "nobody knows: a backend died before it had told",
    ),
    Fate.NEVER_SENT.value: FateWords(
        "it came to a backend, and no client had sent it",
        "came to a backend, and no client had sent them",
        "no client had sent them",
        "had been sent by nobody",
    ),
    "": FateWords(
        "not known: the backends are somebody else's",
        "may have been carried out: the backends are somebody else's",
        "not known: the backends are somebody else's",
        "may have been carried out",
    ),
}


def fate_words(fate: str) -> FateWords:
    """Return the words for a fate as it stands in the files; its own for one that is not known here."""
    return _WORDS.get(fate) or FateWords(fate, fate, f"all: {fate}", fate)
