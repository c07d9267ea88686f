"""The files that a command writes, from before anything is done until its end."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.claim import Claim


@attrs.define(eq=False)
class Outputs:
    """Claimed files, by path, each put in place whole; what could not be written is told at the end."""

    claims: Mapping[Path, Claim]
    unwritten: list[str] = attrs.field(factory=list, init=False)

    def write(self, texts: Mapping[Path, str]) -> None:
        """Write these; where that fails ``unwritten`` says so, and what is there stays."""
        for path, text in texts.items():
            try:
                self.claims[path].replace(text)
            except OSError as error:
                self.unwritten.append(cannot(path, error))

    def require(self) -> None:
        """Raise `UsageError` if one could not be written."""
        if self.unwritten:
            raise UsageError(self.unwritten[0])


@contextmanager
def claimed(paths: list[Path]) -> Iterator[Outputs]:
    """Claim these files until the end; raises `UsageError` if one cannot be written."""
    with ExitStack() as stack:
        claims: dict[Path, Claim] = {}
        for path in paths:
            try:
                claims[path] = Claim.of(path, whole=True)
            except OSError as error:
                raise UsageError(cannot(path, error)) from error
            stack.callback(claims[path].release)
        yield Outputs(claims)


def cannot(path: Path, error: OSError) -> str:
    """Say that a file cannot be written."""
    return f"{path} cannot be written: {error.strerror}"
