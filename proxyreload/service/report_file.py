"""The report of a run: what keeps it from being written is known before the run."""

from pathlib import Path

import attrs

from proxyreload.errors import ProxyreloadError, UsageError
from proxyreload.report.drawing import draw
from proxyreload.report.write import OutputError, require_libraries, write_matrix
from proxyreload.system.claim import Claim
from proxyreload.system.reactor import IReactor


@attrs.define(eq=False)
class ReportFile:
    """Claims the page, and writes it when the run is over.

    Where it was asked for it must be written; else that it cannot be is told, and no more.
    """

    path: Path
    required: bool
    failed: bool = attrs.field(default=False, init=False)  #: it was asked for, and is not there
    _claim: Claim | None = attrs.field(default=None, init=False)
    _why_not: str = attrs.field(default="", init=False)

    def claim(self) -> None:
        """Claim it; raises `UsageError` if it must be written and cannot be."""
        try:
            require_libraries()
            self._claim = Claim.of(self.path, whole=True)
        except OSError as error:
            if self.required:
                msg = f"{self.path} cannot be written: {error.strerror}"
                raise UsageError(msg) from error
            self._why_not = f"not written: {self.path}: {error.strerror}"
        except ProxyreloadError as error:
            if self.required:
                raise
            self._why_not = f"not written: {self.path}: {error}"

    async def write(self, reactor: IReactor, rows: Path, run: Path) -> str:
        """Let it be written, and return a line if it is not; empty if it is. Cancelling gives it up."""
        why_not = self._why_not or self._unreadable(rows)
        if why_not:
            return why_not
        why_not = await draw(reactor, rows, run, self.path)
        if why_not.startswith(f"{self.path} cannot be written"):
            self.failed = self.required
            return why_not
        return f"not written: {self.path}: {why_not}" if why_not else ""

    def _unreadable(self, rows: Path) -> str:
        return "" if rows.is_file() else f"not written: {self.path}: {rows} cannot be read again"

    def write_matrix(self, comparison: Path) -> str:
        """Write the page of a comparison, by its JSON file, likewise."""
        if self._why_not:
            return self._why_not
        try:
            write_matrix(comparison, self.path)
        except OutputError as error:
            self.failed = self.required
            return str(error)
        except ProxyreloadError as error:
            return f"not written: {self.path}: {error}"
        return ""

    def close(self) -> None:
        """Let go of it."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None
