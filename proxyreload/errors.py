"""Errors that end a run, each one clear line with the exit status it stands for."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the command's exit status says."""

    LOSSLESS = 0
    LOST = 1
    USAGE = 2
    INVALID = 3


class ProxyreloadError(Exception):
    """Something that the user has to know and can act on; its text is one or more whole lines."""

    status = ExitStatus.INVALID


class UsageError(ProxyreloadError):
    """What was asked for cannot be asked for."""

    status = ExitStatus.USAGE


class CannotError(UsageError):
    """What was asked for is beyond what the mechanism can do."""


class StartError(ProxyreloadError):
    """The run could not start, or not go on: a port in use, a proxy that died, a missing binary."""


class ExitedError(StartError):
    """A process of the proxy's has exited by itself as it was started; `words` are its last."""

    def __init__(self, text: str, status: int, words: str) -> None:
        super().__init__(text)
        self.exit_status, self.words = status, words  #: negative for a signal


class RefusedError(StartError):
    """The proxy refuses the configuration that it is to start with, in these `words`."""

    def __init__(self, text: str, words: str) -> None:
        super().__init__(text)
        self.words = words

    @property
    def reason(self) -> str:
        """Why a version cannot, where that is all that is wrong."""
        return f"it refuses its configuration: {self.words}"


class FetchError(StartError):
    """A program of some version could not be had; the text has the words of the tool that was to get it."""


class ChangeError(ProxyreloadError):
    """The proxy refused or failed a change; the text has its own words."""


class CommandError(ChangeError):
    """A command has ended with another status than 0; `words` are its last."""

    def __init__(self, text: str, status: int, words: str) -> None:
        super().__init__(text)
        self.exit_status, self.words = status, words  #: negative for a signal


class UnansweredError(ChangeError):
    """Its connection failed or was lost before an answer came: whether the proxy obeys is not known."""
