"""How a WebSocket is opened over HTTP/1.1: the fields of both heads (RFC 6455, 4)."""

import base64
import hashlib
import os
from collections.abc import Mapping

KEY_FIELD, ACCEPT_FIELD, VERSION_FIELD = b"Sec-WebSocket-Key", b"Sec-WebSocket-Accept", b"Sec-WebSocket-Version"
EXTENSIONS_FIELD, PROTOCOL_FIELD = b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol"
UPGRADE_FIELD = b"Upgrade"
NAME, VERSION = b"websocket", b"13"

#: Of a request, beside its key.
ASKING = ((b"Connection", b"Upgrade"), (UPGRADE_FIELD, NAME), (VERSION_FIELD, VERSION))

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
#: Keys are not to be foreseen, and both who sends one and who looks at the answer must know it by the request's id.
_SALT = os.urandom(_KEY_BYTES)


def key_of(request_id: bytes) -> bytes:
    """Return the key that a request of this process has, another for each id."""
    return base64.b64encode(hashlib.blake2b(request_id, key=_SALT, digest_size=_KEY_BYTES).digest())


def accept_of(key: bytes) -> bytes:
    """Return what a server answers to a key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def is_asked_for(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a request with these fields, by their names in lower case, asks for a WebSocket as we speak it."""
    asked = {name.strip().lower() for name in fields.get(UPGRADE_FIELD.lower(), b"").split(b",")}
    return NAME in asked and bool(fields.get(KEY_FIELD.lower())) and fields.get(VERSION_FIELD.lower()) == VERSION


def switching(key: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields of the answer that switches."""
    return ((UPGRADE_FIELD, NAME), (b"Connection", b"Upgrade"), (ACCEPT_FIELD, accept_of(key)))


def what_is_wrong(fields: Mapping[bytes, bytes], key: bytes) -> str:
    """Return what is wrong with the fields of an answer that switches, by their names in lower case; empty if nothing.

    We ask for no extension and no protocol above it, so that nobody may choose one.
    """
    if fields.get(UPGRADE_FIELD.lower(), b"").lower() != NAME:
        return "switched to something else than a WebSocket"
    if fields.get(ACCEPT_FIELD.lower()) != accept_of(key):
        return "Sec-WebSocket-Accept is not that of the request's key"
    unasked = [name for name in (EXTENSIONS_FIELD, PROTOCOL_FIELD) if name.lower() in fields]
    return f"{unasked[0].decode('ascii')}, which nobody asked for" if unasked else ""
