"""Envoy's aggregated discovery service (ADS): a gRPC stream on which each version is acknowledged, or refused.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#aggregated-discovery-service
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from proxyreload.system.messages import BYTES, INT32, STRING, UINT32, Fields, described
from proxyreload.system.reactor import IReactor

# grpcio would have a hand in every fork of this program's, though none of its children uses it: they crash of that.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc

SERVICE, METHOD = "envoy.service.discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources"

#: https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto and what is in it.
MESSAGES: Mapping[str, Fields] = {
    "DiscoveryRequest": (("type_url", 4, STRING), ("response_nonce", 5, STRING), ("error_detail", 6, "Status")),
    "Status": (("code", 1, INT32), ("message", 2, BYTES)),
    "DiscoveryResponse": (
        ("version_info", 1, STRING),
        ("resources", 2, ["Any"]),
        ("type_url", 4, STRING),
        ("nonce", 5, STRING),
    ),
    "Any": (("type_url", 1, STRING), ("value", 2, BYTES)),
    "ClusterLoadAssignment": (("cluster_name", 1, STRING), ("endpoints", 2, ["LocalityLbEndpoints"])),
    "LocalityLbEndpoints": (("lb_endpoints", 2, ["LbEndpoint"]),),
    "LbEndpoint": (("endpoint", 1, "Endpoint"),),
    "Endpoint": (("address", 1, "Address"),),
    "Address": (("socket_address", 1, "SocketAddress"),),
    "SocketAddress": (("address", 2, STRING), ("port_value", 3, UINT32)),
}
CLASSES = described(MESSAGES)

#: What is to be said on one stream; None is its end.
Outgoing = SimpleQueue[bytes | None]


@attrs.define(eq=False)
class DiscoveryServer:
    """Tells every stream the latest version of the hosts.

    grpcio reads and writes in threads, which only wait; whatever is decided is decided in the reactor's.
    """

    reactor: IReactor
    _type_url: str = attrs.field(default="", init=False)
    _nonce: str = attrs.field(default="", init=False)
    _response: bytes = attrs.field(default=b"", init=False)
    _answer: Deferred[str] = attrs.field(factory=Deferred, init=False)
    _streams: list[Outgoing] = attrs.field(factory=list, init=False)
    _server: Any = attrs.field(default=None, init=False)

    def start(self, socket: Path) -> None:
        """Listen at a Unix socket."""
        method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self._stream, CLASSES["DiscoveryRequest"].FromString
        )
        self._server = grpc.server(
            ThreadPoolExecutor(thread_name_prefix="ads"),
            handlers=[grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})],
            options=(("grpc.so_reuseport", 0),),
        )
        self._server.add_insecure_port(f"unix:{socket}")
        socket.chmod(0o600)
        self._server.start()

    def stop(self) -> None:
        """End all streams and listen no more."""
        self._server.stop(None).wait()

    def publish(self, response: Mapping[str, Any]) -> Deferred[str]:
        """Tell a version; fires with why Envoy refuses it, empty if it does not."""
        (resource,) = response["resources"]
        content = {name: value for name, value in resource.items() if name != "@type"}
        self._type_url, self._nonce, self._answer = resource["@type"], response["version_info"], Deferred()
        packed = {
            "type_url": self._type_url,
            "value": CLASSES["ClusterLoadAssignment"](**content).SerializeToString(),
        }
        self._response = CLASSES["DiscoveryResponse"](
            version_info=response["version_info"], resources=[packed], type_url=self._type_url, nonce=self._nonce
        ).SerializeToString()
        for outgoing in self._streams:
            outgoing.put(self._response)
        return self._answer

    def _asked(self, request: Any, outgoing: Outgoing) -> None:  # noqa: ANN401  (a class made at run time)
        """Answer a subscription; take any other request for the acknowledgement that it is."""
        if request.type_url != self._type_url:
            return
        if not request.response_nonce:
            self._streams.append(outgoing)
            outgoing.put(self._response)
        elif request.response_nonce == self._nonce and not self._answer.called:
            self._answer.callback(request.error_detail.message.decode("utf-8", "replace"))

    def _ended(self, outgoing: Outgoing) -> None:
        if outgoing in self._streams:
            self._streams.remove(outgoing)

    # In threads of grpcio's.

    def _stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        outgoing: Outgoing = SimpleQueue()
        context.add_callback(lambda: outgoing.put(None))
        Thread(target=self._read, args=(requests, outgoing), daemon=True).start()
        return iter(outgoing.get, None)

    def _read(self, requests: Iterator[Any], outgoing: Outgoing) -> None:
        with suppress(grpc.RpcError):  # the stream has ended
            for request in requests:
                self.reactor.callFromThread(self._asked, request, outgoing)
        self.reactor.callFromThread(self._ended, outgoing)
