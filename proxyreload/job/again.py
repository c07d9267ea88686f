"""The command that makes a run again, elsewhere."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from proxyreload.system.markdowntext import block_of

#: Options of the job's own, with how many words stand behind each: elsewhere there is no such file, or collector.
_OF_THE_JOB = {"--summary": 1, "--junit": 1, "--otel": 1, "--annotations": 0}
_LIMIT = 4000


def command_again(words: Sequence[str]) -> str:
    """Return the command line of these words, which have each option's value behind it, without what is the job's."""
    return shlex.join(["proxyreload", *without(words, _OF_THE_JOB)])


def again_section(words: Sequence[str]) -> list[str]:
    """Return the lines of the section about it, in Markdown; nothing where the words are not known."""
    return ["#### Again", "", *block_of(command_again(words), _LIMIT, "sh"), ""] if words else []


def without(words: Sequence[str], options: Mapping[str, int]) -> Iterator[str]:
    """Yield the words but for some options, with the words behind each: so many as it has."""
    left = 0
    for word in words:
        if left:
            left -= 1
        elif word in options:
            left = options[word]
        else:
            yield word
