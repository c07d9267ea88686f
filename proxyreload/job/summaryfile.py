"""The job's summary: a file that other steps, and other runs, have written to before, and may after."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.claim import Claim
from proxyreload.system.markdowntext import text_of
from proxyreload.system.untrusted import WORDS_LIMIT
from proxyreload.system.wholefile import encoded, write_all


@attrs.define(eq=False)
class SummaryFile:
    """Appends what came of a run, or why nothing did; what is there stays."""

    path: Path
    name: str  #: what is run
    unwritten: str = attrs.field(default="", init=False)  #: why it could not be written
    _claim: Claim | None = attrs.field(default=None, init=False)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Claim it for a while, in which `append` writes; whatever is raised meanwhile is appended.

        Raises `UsageError` if it cannot be written.
        """
        try:
            self._claim = Claim.of(self.path)
        except OSError as error:
            raise UsageError(self._cannot(error)) from error
        try:
            yield
        except Exception as error:
            why = text_of(str(error) or type(error).__name__, WORDS_LIMIT)
            self.append(f"### {text_of(self.name)}: no verdict\n\n{why}\n")
            raise
        finally:
            self._claim.release()
            self._claim = None

    def append(self, text: str) -> None:
        """Append this, apart from what is there; where that fails ``unwritten`` says so."""
        assert self._claim is not None  # noqa: S101
        apart = "\n" if not self._claim.special and self._claim.size() > 0 else ""
        try:
            write_all(self._claim.descriptor, encoded(f"{apart}{text}"))
        except OSError as error:
            self.unwritten = self._cannot(error)

    def _cannot(self, error: OSError) -> str:
        return f"{self.path} cannot be written: {error.strerror}"
