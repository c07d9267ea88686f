"""The roles around a kind of traffic."""

from collections.abc import Callable
from typing import Protocol


class Answer(Protocol):
    """The whole answer to one request, as the client has it."""

    @property
    def status(self) -> int:
        """Status code, 0 if there is none."""

    @property
    def instance(self) -> bytes:
        """Who answered, as it says itself."""

    @property
    def echoed_id(self) -> bytes:
        """The request's id as the answer has it."""

    @property
    def body(self) -> bytes:
        """The body, its first bytes where it is longer than is kept."""


#: Judges the answer to the request with this id: (failure class, message), both empty for a success.
Expectation = Callable[[Answer, bytes], tuple[str, str]]
