"""What the page and programs ask for: documented in docs/api.md."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import bokeh
from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException

from proxyreload.errors import ProxyreloadError, UsageError
from proxyreload.history.actions import OF_BACKENDS, OF_THE_PROXY
from proxyreload.history.events import Change
from proxyreload.system import bounds
from proxyreload.system.clock import seconds
from proxyreload.web.guard import Refusal
from proxyreload.web.lanes import lanes
from proxyreload.web.live import encode
from proxyreload.web.pictures import pictures
from proxyreload.web.whole_file import Download
from proxyreload.web.workbench import Workbench

_ACTIONS = (*OF_BACKENDS, *OF_THE_PROXY)
_BOKEH = Path(bokeh.__file__).parent / "server" / "static" / "js"
_STATIC = {
    "page.js": "text/javascript; charset=utf-8",
    "door.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_TYPES = {
    "report.html": "text/html; charset=utf-8",
    "run.json": "application/json",
    "data.csv": "text/csv; charset=utf-8",
    "losses.csv": "text/csv; charset=utf-8",
}
#: The page draws with Bokeh, which styles its canvases by style elements.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: A report has its scripts inside, and Bokeh makes functions of text; it gets an origin of its own, and may ask nobody.
_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; frame-ancestors 'none'"
)


class Api:
    """The routes, on one workbench."""

    app = Klein()

    def __init__(self, bench: Workbench) -> None:
        """Serve `bench`."""
        self._bench = bench
        # Made now, for it takes long: a run that goes on would feel it.
        self._pictures = encode(pictures(bench.settings.backends.number, lanes(bench.settings.everyone)))

    @property
    def resource(self) -> IResource:
        """What a site serves."""
        resource: IResource = self.app.resource()
        return resource

    @app.handle_errors(Refusal)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """Say why it is not done."""
        refusal = cast(Refusal, failure.value)
        return _json(request, {"error": refusal.reason}, refusal.status)

    @app.handle_errors(HTTPException)
    def unknown(self, request: IRequest, failure: Failure) -> bytes:
        """Say that there is nothing, or not for this method."""
        error = cast(HTTPException, failure.value)
        for name, value in error.get_headers():
            if name == "Allow":
                request.setHeader(name, value)
        return _json(request, {"error": error.name.lower()}, error.code or 500)

    @app.route("/", methods=["GET"])
    def page(self, request: Request) -> bytes:
        """Return the page."""
        request.setHeader(b"Content-Security-Policy", _PAGE_POLICY)
        return self.static(request, "page.html")

    @app.route("/static/<name>", methods=["GET"])
    def static(self, request: Request, name: str) -> bytes:
        """Return a file of the page's own; raises `Refusal`."""
        content_type = {**_STATIC, "page.html": "text/html; charset=utf-8"}.get(name)
        if content_type is None:
            raise Refusal(404, "not found")
        request.setHeader(b"Content-Type", content_type)
        return files("proxyreload.web").joinpath("static", name).read_bytes()

    @app.route("/bokeh/<name>", methods=["GET"])
    def bokeh(self, request: Request, name: str) -> IResource:
        """Return Bokeh's script; raises `Refusal`."""
        if name != "bokeh.min.js":
            raise Refusal(404, "not found")
        request.setHeader(b"Cache-Control", b"private, max-age=3600")
        return Download(str(_BOKEH / name))

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: Request) -> bytes:
        """Return figures for Prometheus."""
        request.setHeader(b"Content-Type", CONTENT_TYPE_LATEST)
        return self._bench.metrics.text()

    @app.route("/api/state", methods=["GET"])
    def state(self, request: Request) -> bytes:
        """Return how the run goes."""
        return _json(request, self._bench.state())

    @app.route("/api/losses", methods=["GET"])
    def losses(self, request: Request) -> bytes:
        """Return the last failures."""
        live = self._bench.live
        return _json(request, {"losses": live.losses if live is not None else []})

    @app.route("/api/events", methods=["GET"])
    def events(self, request: Request) -> Deferred[bytes]:
        """Tell what happens from now on, after all that is known; raises `Refusal`."""
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"X-Accel-Buffering", b"no")
        if request.method == b"HEAD":
            return succeed(b"")
        if not self._bench.subscribers.add(request):
            request.setHeader(b"Retry-After", b"10")
            raise Refusal(503, "too many are reading already")
        return Deferred()  # it is over when either side ends it

    @app.route("/api/pictures", methods=["GET"])
    def pictures(self, request: Request) -> bytes:
        """Return the pictures, empty, as Bokeh's script takes them."""
        request.setHeader(b"Content-Type", b"application/json")
        return self._pictures

    @app.route("/api/runs", methods=["GET"])
    async def runs(self, request: Request) -> bytes:
        """Return the latest runs; they are read in a thread, for a run may be going on."""
        reactor, archive = self._bench.reactor, self._bench.archive
        return _json(request, {"runs": await deferToThreadPool(reactor, reactor.getThreadPool(), archive.runs)})

    @app.route("/runs/<run>/<file>", methods=["GET"])
    def run_file(self, request: Request, run: str, file: str) -> IResource:
        """Return a run's file; raises `Refusal`."""
        path = self._bench.archive.file(run, file)
        if path is None:
            raise Refusal(404, "no such run, or it has no such file")
        if file == "report.html":
            request.setHeader(b"Content-Security-Policy", _REPORT_POLICY)
        served = Download(str(path), defaultType=_TYPES[file])
        served.type, served.encoding = _TYPES[file], None
        return served

    @app.route("/api/changes", methods=["POST"])
    async def change(self, request: Request) -> bytes:
        """Make a change, and return how it ended; raises `Refusal`."""
        asked = _asked(request, "action", "backend")
        action = asked.get("action")
        if action not in _ACTIONS:
            raise Refusal(400, f"action must be one of {', '.join(_ACTIONS)}")
        backend = asked.get("backend", -1)
        if (action in OF_BACKENDS) != ("backend" in asked):
            raise Refusal(400, f"{_listed(OF_BACKENDS)} need a backend, {_listed(OF_THE_PROXY)} none")
        if action in OF_BACKENDS and not (_is_whole(backend) and 0 <= backend < self._bench.settings.backends.number):
            raise Refusal(400, f"backend must be a number from 0 to {self._bench.settings.backends.number - 1}")
        return _json(request, self._told(await shielded(self._bench.change(action, backend))))

    @app.route("/api/load", methods=["POST"])
    def load(self, request: Request) -> bytes:
        """Set the rate, start or stop, and return the state after it; raises `Refusal`."""
        asked = _asked(request, "rate", "running")
        if not asked:
            raise Refusal(400, "say rate or running")
        if "running" in asked and not isinstance(asked["running"], bool):
            raise Refusal(400, "running must be true or false")
        if "rate" in asked:
            self._bench.set_rate(_rate(asked["rate"]))
        if asked.get("running") is True:
            try:
                self._bench.start()
            except ProxyreloadError as error:
                raise Refusal(503, str(error)) from error
        elif asked.get("running") is False:
            self._bench.stop()
        return _json(request, self._bench.state())

    def _told(self, change: Change) -> dict[str, Any]:
        live = self._bench.live
        started_ns = live.started_ns if live is not None else 0
        return {
            "number": change.number,
            "action": change.action,
            "backend": int(change.instance) if change.instance else None,
            "mechanism": change.mechanism,
            "phase": change.phase.value,
            "at_s": round(seconds(change.at_ns - started_ns), 6),
            "message": change.message,
        }


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _json(request: IRequest | Request, value: object, status: int = 200) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    return encode(value) + b"\n"


def _asked(request: Request, *known: str) -> dict[str, Any]:
    """Return the body, a JSON object with known keys."""
    try:
        asked = json.loads(request.content.read() if request.content is not None else b"")
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not set(asked) <= set(known):
        raise Refusal(400, f"the body must be a JSON object with {' and '.join(known)}, and nothing else")
    return asked


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _rate(value: object) -> float | None:
    if value is None:
        return None
    try:
        return bounds.RATE_PER_S.of("rate", value)
    except UsageError as error:
        raise Refusal(400, f"{error}; or null: a closed loop") from error


def shielded(work: Deferred[Change]) -> Deferred[Change]:
    """Return what fires with `work`; that who asked goes away is no reason to leave a change half made."""
    waiting: Deferred[Change] = Deferred()
    work.addBoth(waiting.callback)
    return waiting
