"""Answers that differ in nothing but the request's id are parsed once.

A backend's answers through one connection of the proxy are the same bytes for a second, but for the id that each
echoes. Bytes that are the same when the id is taken out, and as many, can only be parsed to the same answer: the parser
need not be asked again, which is the largest part of an exchange's cost.
"""

import attrs

#: Longer answers are not worth keeping, and more shapes than this are a proxy's doing.
_LENGTH_KEPT = 4096
_SHAPES_KEPT = 512
#: Stands for the id. What is kept has none of its own, and no id is one byte long: so an answer with as long an id and
#: as many bytes has as many ids, and none of its own either.
_MARK = b"\0"
ID_LENGTH_MIN = 3
#: How much of a header's value is kept.
VALUE_KEPT = 128


@attrs.frozen
class KnownAnswer:
    """What an answer of this shape and length is."""

    length: int
    id_length: int
    status: int
    instance: bytes
    back_port: bytes
    echoed_id: bytes | None  #: None: the request's own
    body_at: int


@attrs.define
class AnswerMemo:
    """The answers that were seen lately, by their bytes without the id."""

    _known: dict[bytes, KnownAnswer] = attrs.field(factory=dict)

    def recall(self, data: bytes, request_id: bytes) -> KnownAnswer | None:
        """Return what `data` is, if it is the whole answer to this request and has been seen before."""
        known = self._known.get(data.replace(request_id, _MARK))
        if known is None or known.length != len(data) or known.id_length != len(request_id):
            return None
        return known

    def remember(self, data: bytes, request_id: bytes, answer: KnownAnswer) -> None:
        """Keep what the parser made of `data`, which came in one piece and is the whole answer."""
        if len(data) > _LENGTH_KEPT or len(request_id) < ID_LENGTH_MIN or _MARK in data:
            return
        for value in (answer.instance, answer.back_port, answer.echoed_id or b""):
            if request_id in value or len(value) >= VALUE_KEPT:
                return  # it would not be the same with another id, which may have been cut off
        if len(self._known) >= _SHAPES_KEPT:
            self._known.clear()
        self._known[data.replace(request_id, _MARK)] = answer
