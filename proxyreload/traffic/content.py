"""Bodies that nobody can cut, change or swap unseen: drawn from the request's own id."""

import hashlib

import attrs

from proxyreload.history.failures import WRONG_BODY
from proxyreload.system.untrusted import printable
from proxyreload.traffic.errorpage import refused
from proxyreload.traffic.interfaces import Answer

OK = 200
_DIGEST_BYTES = 16


def content(request_id: bytes, size: int) -> bytes:
    """Return `size` bytes that differ at every place, and for every id (SHAKE128, FIPS 202)."""
    return hashlib.shake_128(request_id).digest(size)


def how_many(every_s: float, length_s: float) -> int:
    """Return how many pieces there are of what lasts so long, when one comes every so often: at least one."""
    return max(1, round(length_s / every_s))


@attrs.define
class Digest:
    """The length and the digest (BLAKE2b, RFC 7693) of bytes that come one after the other."""

    length: int = 0
    _hash: hashlib.blake2b = attrs.field(factory=lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES))

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        self.length += len(data)
        self._hash.update(data)

    def told(self) -> bytes:
        """Return the digest so far, as text."""
        return self._hash.hexdigest().encode("ascii")


def digested(data: bytes) -> Digest:
    """Return the digest of bytes that are all there."""
    whole = Digest()
    whole.take(data)
    return whole


def digest(data: bytes) -> bytes:
    """Return it as text."""
    return digested(data).told()


def whose(answer: Answer, request_id: bytes) -> tuple[str, str]:
    """Judge what all kinds expect of an answer's head: 200, from a backend of ours, to this very request."""
    if answer.status != OK:
        return refused(answer)
    if answer.echoed_id and answer.echoed_id != request_id:
        return WRONG_BODY, f"the answer to request {printable(answer.echoed_id)}"
    if not answer.instance:
        return WRONG_BODY, "not from a backend of ours"
    return "", ""
