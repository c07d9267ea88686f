"""How a request is known at both ends: names of header fields, ids and their marks.

An id is ``CLIENT-NUMBER``, the client's number and the request's among the client's, behind a mark where the request
is not of the traffic under test.
"""

#: The header field that carries a request's id there and back. Proxies replace or fold the well-known ones
#: (X-Request-Id).
ID_FIELD = b"Proxyreload-Id"
#: And the one that tells a backend the request's kind, with the kind's settings, where a backend must know.
KIND_FIELD = b"Proxyreload-Kind"
#: Of an answer: the backend's number, and the proxy's TCP port as the backend saw it.
INSTANCE_FIELD = b"Backend-Id"
BACK_PORT_FIELD = b"Source-Port"

#: The kinds of the clients that are asked for by number, and of the probe.
PLAIN_KIND, PROBE_KIND = "get", "fresh"

#: Before the ids of the probe's requests, and of those straight to the backends: by such a letter a backend knows
#: connections that say nothing of the traffic under test.
PROBE_MARK = b"p"
BASELINE_MARK = b"b"

#: A request's id is echoed up to this length; whoever sends a longer one is not ours.
ID_LIMIT = 64

PORT_MAX = 65535


def id_prefix(mark: bytes, client: int) -> bytes:
    """Return what all ids of a client begin with."""
    return b"%b%d-" % (mark, client)


def client_of(request_id: bytes) -> bytes:
    """Return the client's part of an id, its mark included: who is asked for it again is the same client."""
    return request_id.partition(b"-")[0]


def is_under_test(request_id: bytes) -> bool:
    """Whether a request is neither the probe's, nor the baseline's, nor somebody else's."""
    return request_id[:1].isdigit()


def port_number(value: bytes) -> int:
    """Return a port that an answer names, 0 if it is none."""
    port = int(value) if value.isdigit() and len(value) <= 5 else 0  # noqa: PLR2004
    return port if port <= PORT_MAX else 0
