"""Caddy, changed over its admin API or by re-reading its configuration file.

https://caddyserver.com/docs/api
https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/
https://caddyserver.com/docs/command-line#signals
"""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.child import ChildProcess
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin
from proxyreload.proxy.ports import free_port
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.untrusted import printable

#: Caddy finds anything in its configuration that has an ``@id``.
UPSTREAMS = "/id/app/upstreams"
#: What Caddy logs when it has re-read its file, and when it would not.
RELOADED = b"successfully reloaded config from file"
REFUSED = b"failed to reload config from file"
WORDS_LIMIT = 600


def configuration(front: str, admin: str, upstreams: Sequence[Upstream]) -> dict[str, Any]:
    """Return Caddy's configuration."""
    handler = {
        "@id": "app",
        "handler": "reverse_proxy",
        "upstreams": [{"dial": upstream.address} for upstream in upstreams],
        "transport": {"protocol": "http", "keep_alive": {"enabled": True, "max_idle_conns_per_host": 32}},
        "load_balancing": {"selection_policy": {"policy": "round_robin"}},
    }
    server = {"listen": [front], "automatic_https": {"disable": True}, "routes": [{"handle": [handler]}]}
    return {
        "admin": {"listen": admin, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "INFO"}}},
        "apps": {"http": {"servers": {"front": server}}},
    }


@implementer(IProxy)
@attrs.define
class Api:
    """``POST`` and ``DELETE`` on the list of upstreams; Caddy answers when the changed configuration serves.

    Whatever is changed, Caddy builds a new server with a listening socket of its own and shuts the old one down.
    """

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _address: str = attrs.field(default="", init=False)
    _admin: Admin = attrs.field(init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        workspace = self.workspace
        self._upstreams = list(upstreams)
        self._address = f"{workspace.front_host}:{free_port(workspace.front_host)}"
        self._admin = Admin(workspace.reactor, f"http://{self._address}")
        config = self._write_config(upstreams)
        self._child = workspace.spawn(workspace.binary, "run", "--config", config, environment=workspace.homes)
        await workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """``POST`` appends it."""
        await self._admin.post(UPSTREAMS, {"dial": upstream.address})

    async def remove_backend(self, upstream: Upstream) -> None:
        """``DELETE`` takes it out, by its place in the list."""
        dials = [each["dial"] for each in await self._admin.get(UPSTREAMS)]
        if upstream.address not in dials:
            msg = f"{upstream.address} is not among {', '.join(dials)}"
            raise ChangeError(msg)
        await self._admin.delete(f"{UPSTREAMS}/{dials.index(upstream.address)}")
        await self._until_drained(upstream)

    async def stop(self) -> None:
        """SIGTERM: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    async def _until_drained(self, upstream: Upstream) -> None:
        """Wait until Caddy has forgotten the backend or has no request under way to it."""

        async def drained() -> bool:
            known = await self._admin.get("/reverse_proxy/upstreams")
            return not any(each["address"] == upstream.address and each["num_requests"] for each in known)

        await self.workspace.until(drained, f"no request to {upstream.name} under way")

    def _configuration(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:
        return configuration(self.workspace.front, self._address, upstreams)

    def _write_config(self, upstreams: Sequence[Upstream]) -> Path:
        return self.workspace.write("caddy.json", json.dumps(self._configuration(upstreams), indent=1))


@implementer(IProxy)
@attrs.define
class Load(Api):
    """``POST /load`` of the whole configuration, which is what ``caddy reload`` does."""

    async def add_backend(self, upstream: Upstream) -> None:
        """Load a configuration that has it."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Load a configuration that has it not."""
        await self._change([each for each in self._upstreams if each != upstream])
        await self._until_drained(upstream)

    async def _change(self, upstreams: list[Upstream]) -> None:
        await self._apply(upstreams)
        self._upstreams = upstreams

    async def _apply(self, upstreams: Sequence[Upstream]) -> None:
        await self._admin.post("/load", self._configuration(upstreams))


@implementer(IProxy)
@attrs.define
class Signal(Load):
    """SIGUSR1: Caddy reads the file again that it was started with; it tells only its log what came of that.

    It would ignore the signal after any change over the admin API.
    """

    async def _apply(self, upstreams: Sequence[Upstream]) -> None:
        assert self._child is not None  # noqa: S101
        log = self._child.log
        said_before = log.stat().st_size
        self._write_config(upstreams)
        self._child.signal(signal.SIGUSR1)

        async def reloaded() -> bool:
            with log.open("rb") as file:
                file.seek(said_before)
                said = file.read()
            for line in said.splitlines() if said.endswith(b"\n") else ():
                if REFUSED in line:
                    raise ChangeError(printable(json.loads(line)["error"], WORDS_LIMIT))
            return RELOADED in said

        await self.workspace.until(reloaded, "Caddy has re-read its configuration")


plugin = ProxyPlugin(
    name="caddy",
    binary=Binary(
        "caddy",
        how_to_get="pip install 'proxyreload[caddy]', or your system's package caddy",
        version_args=("version",),
    ),
    mechanisms=(
        Mechanism("api", "the admin API: POST and DELETE on the list of upstreams", Api),
        Mechanism("load", "the admin API: POST /load of the whole configuration", Load),
        Mechanism("signal", "SIGUSR1: the configuration file is read again", Signal),
    ),
)
