"""Answers that differ in nothing but the request's id are parsed once.

A backend's answers through one connection of the proxy are the same bytes for a second, but for the id that each
echoes. Bytes that are the same when the id is taken out, and as many, can only be parsed to the same answer: the parser
need not be asked again, which is the largest part of an exchange's cost.
"""

import attrs

#: Longer answers are not worth keeping, and more shapes than this are a proxy's doing.
_LENGTH_KEPT = 4096
_SHAPES_KEPT = 512
#: Stands for the id. No id is one byte long, so an answer that really has it there has another length.
_MARK = b"\0"
ID_LENGTH_MIN = 3


@attrs.frozen
class KnownAnswer:
    """What an answer of this shape and length is."""

    length: int
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
        return known if known is not None and known.length == len(data) else None

    def remember(self, data: bytes, request_id: bytes, answer: KnownAnswer) -> None:
        """Keep what the parser made of `data`, which came in one piece and is the whole answer."""
        if len(data) > _LENGTH_KEPT or len(request_id) < ID_LENGTH_MIN:
            return
        if request_id in answer.instance or request_id in answer.back_port:
            return  # these would not be the same with another id
        if len(self._known) >= _SHAPES_KEPT:
            self._known.clear()
        self._known[data.replace(request_id, _MARK)] = answer
