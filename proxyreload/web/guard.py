"""Who may ask: names, origins, the token, and how much."""

import hmac
import re
import secrets
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from proxyreload.web.live import encode

#: A longer body is refused; no more of it is kept.
BODY_LIMIT = 4096
_SAFE_METHODS = (b"GET", b"HEAD")
#: Where a browser gives the token for a cookie, by which it may read.
_ENTRY = b"/api/session"
#: What the door needs, and is the same for everybody.
_OPEN = (b"/static/door.js", b"/static/page.css", b"/static/icon.svg")
_DOOR_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
}


@attrs.define(eq=False)
class Refusal(Exception):
    """A request that is not served, and why."""

    status: int
    reason: str


class BoundedRequest(Request):
    """Keeps a bounded part of its body, in memory; Twisted keeps all, in a file."""

    def gotLength(self, length: int | None) -> None:  # noqa: ARG002
        """Make room; a form, which Twisted would read and may raise at, is made nothing that can be read."""
        super().gotLength(0)
        kinds = self.requestHeaders.getRawHeaders(b"content-type") or []
        if not all(map(_is_json, kinds)):
            self.requestHeaders.setRawHeaders(b"content-type", [kind if _is_json(kind) else b"other" for kind in kinds])

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what there is room for: one byte more than may be."""
        room = BODY_LIMIT + 1 - (self.content.tell() if self.content is not None else 0)
        super().handleContentChunk(data[: max(0, room)])


@attrs.frozen
class Rules:
    """What a request must be like, given where the page is served.

    Beyond the loopback interface a name could be anybody's, made to point here (DNS rebinding): only addresses are
    taken there, and the names that are told. A browser that has shown the token there gets a cookie. It is good for
    reading alone, for browsers send it to every port of a host; a change needs the token itself.
    """

    local: bool  #: only this machine can reach it
    port: int  #: 0: a Unix socket has none
    names: frozenset[str]
    private: bool = False  #: reading needs the token too
    token: str = attrs.field(default="", repr=False)  #: needed for whatever changes something; empty: none
    cookie: bytes = b"proxyreload"  #: its name
    permit: str = attrs.field(factory=secrets.token_urlsafe, repr=False)  #: its value

    @classmethod
    def at(cls, address: IAddress, names: Iterable[str] = (), token: str = "") -> "Rules":
        """Return the rules for a page that is served at `address`; a token is made up where one is needed.

        On the loopback everybody on this machine may read, as a page on it may; a Unix socket is for whom it is told.
        """
        local, port, private = True, 0, True
        known = {*_LOCAL_NAMES, *(name.lower() for name in names)}
        if isinstance(address, IPv4Address | IPv6Address):
            bound = ip_address(address.host.partition("%")[0])
            local, port, private = bound.is_loopback, address.port, not bound.is_loopback
            known.add(f"[{bound}]" if bound.version == 6 else str(bound))  # noqa: PLR2004
        # Another page on this host, behind another port, has another cookie.
        cookie = f"proxyreload-{sha256(str(address).encode()).hexdigest()[:8]}".encode()
        token = token or (secrets.token_urlsafe(16) if private else "")
        return cls(local, port, frozenset(known), private, token, cookie)

    def judge(self, request: HTTPRequest) -> None:
        """Raise `Refusal` unless the request may be served."""
        host = _only(request, b"host")
        if not self._ours(host):
            raise Refusal(421, "this page is not served under that name")
        origin = _only(request, b"origin")
        changing = request.method not in _SAFE_METHODS
        if origin and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise Refusal(403, "asked by another origin")
        site = _only(request, b"sec-fetch-site")
        navigating = not changing and _only(request, b"sec-fetch-mode") == "navigate"
        if site not in ("", "same-origin", "none") and not navigating:
            raise Refusal(403, "asked by another site")
        try:
            unquote_to_bytes(request.path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refusal(400, "the path is no UTF-8") from error
        if self.token and (changing or self.private) and not self._allowed(request, changing=changing):
            raise Refusal(401, "this needs the token: Authorization: Bearer …")
        if not changing:
            return
        if request.method != b"POST":
            request.setHeader(b"Allow", b"GET, HEAD, POST")
            raise Refusal(405, "not by this method")
        if not _is_json(_only(request, b"content-type").encode("latin-1")):
            raise Refusal(415, "the body must be application/json")
        if request.content is None or len(request.content.getvalue()) > BODY_LIMIT:
            raise Refusal(413, f"the body may have {BODY_LIMIT} bytes")

    def _ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].lower()
        if self.port and int(found["port"] or 80) != self.port and int(found["port"] or 443) != self.port:
            return False
        return name in self.names or (not self.local and _is_address(name))

    def _allowed(self, request: HTTPRequest, *, changing: bool) -> bool:
        scheme, _space, given = _only(request, b"authorization").partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8"), self.token.encode())
        if right and scheme.lower() == "bearer":
            return True
        shown = hmac.compare_digest(request.getCookie(self.cookie) or b"", self.permit.encode())
        return not changing and (shown or request.path in _OPEN)


class Guarded(Resource):
    """Serves what `rules` let through."""

    isLeaf = True

    def __init__(self, rules: Rules, served: IResource) -> None:
        """Guard `served`."""
        super().__init__()
        self._rules = rules
        self._served = served

    def render(self, request: HTTPRequest) -> bytes | int:
        """Serve, or say why not."""
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        try:
            self._rules.judge(request)
        except Refusal as refusal:
            request.setResponseCode(refusal.status)
            request.setHeader(b"Content-Type", b"application/json")
            if refusal.status == 401:  # noqa: PLR2004
                request.setHeader(b"WWW-Authenticate", b"Bearer")
                if request.path == b"/":
                    return _door(request)
            return encode({"error": refusal.reason}) + b"\n"
        if self._rules.private and request.path == _ENTRY and request.method == b"POST":
            return self._let_in(request)
        result: bytes | int = self._served.render(request)
        return result

    def _let_in(self, request: HTTPRequest) -> bytes:
        """Give a browser that has shown the token its cookie."""
        request.addCookie(
            self._rules.cookie,
            self._rules.permit.encode(),
            path=b"/",
            secure=bool(request.isSecure()),
            httpOnly=True,
            sameSite="strict",
        )
        request.setHeader(b"Content-Type", b"application/json")
        return b"{}\n"


def _door(request: HTTPRequest) -> bytes:
    """Return the page that asks for the token, and shows nothing."""
    request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
    request.setHeader(b"Content-Security-Policy", _DOOR_POLICY)
    return files("proxyreload.web").joinpath("static", "door.html").read_bytes()


def _only(request: HTTPRequest, name: bytes) -> str:
    """Return a header that may be there once; twice is once too often to know what is meant."""
    values = request.requestHeaders.getRawHeaders(name) or [b""]
    if len(values) > 1:
        raise Refusal(400, f"more than one {name.decode()} header")
    return values[0].decode("latin-1").strip()


def _is_json(kind: bytes) -> bool:
    return kind.partition(b";")[0].strip().lower() == b"application/json"


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
