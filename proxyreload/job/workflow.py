"""Workflow commands: lines on standard output that GitHub Actions shows as annotations.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

import os

import attrs

from proxyreload.system.untrusted import WORDS_LIMIT, printable

#: Of one step so many of each level are shown.
MOST = 10
_TITLE, _LINES = 100, 20


@attrs.frozen
class Annotation:
    """One annotation; an error fails the job, as the exit status says, a warning does not."""

    error: bool
    title: str
    message: str

    @property
    def line(self) -> str:
        """Return the command. Nothing in title and message ends it, or is a command of its own."""
        level, title = "error" if self.error else "warning", _property(printable(self.title, _TITLE))
        message = "\n".join(printable(each, WORDS_LIMIT) for each in self.message.splitlines()[:_LINES])
        return f"::{level} title={title}::{_data(message)}"


def asked_by_environment() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _data(text: str) -> str:
    """Escape what would end the command, or be taken for such an escape."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape what would end a property besides."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
