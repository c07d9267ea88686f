"""Envoy's discovery service: who is told which version, and what counts as its acknowledgement."""

from typing import Any, cast

import attrs
import pytest

from proxyreload_envoy_ads import CLASSES, DiscoveryServer, Outgoing

from .clocks import Time, result_of, waits

TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def version(number: int, *ports: int) -> dict[str, Any]:
    """Return what the plugin publishes, as Envoy's JSON has it."""
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}} for port in ports
    ]
    resource = {"@type": TYPE, "cluster_name": "app", "endpoints": [{"lb_endpoints": hosts}]}
    return {"version_info": str(number), "resources": [resource]}


def request(nonce: str = "", refused: bytes = b"", type_url: str = TYPE) -> Any:
    """Return what Envoy says."""
    detail = {"error_detail": {"code": 13, "message": refused}} if refused else {}
    return CLASSES["DiscoveryRequest"](type_url=type_url, response_nonce=nonce, **detail)


@attrs.define
class Stream:
    """One Envoy's."""

    server: DiscoveryServer
    outgoing: Outgoing = attrs.field(factory=Outgoing)

    def says(self, said: Any) -> None:
        self.server._asked(said, self.outgoing)

    def told(self) -> list[tuple[str, list[int]]]:
        """Return the versions it was told since, each with the hosts' ports."""
        told = []
        while not self.outgoing.empty():
            response = CLASSES["DiscoveryResponse"].FromString(self.outgoing.get() or b"")
            assert response.nonce == response.version_info
            assert (response.type_url, response.resources[0].type_url) == (TYPE, TYPE)
            hosts = CLASSES["ClusterLoadAssignment"].FromString(response.resources[0].value)
            assert hosts.cluster_name == "app"
            addresses = [each.endpoint.address.socket_address for each in hosts.endpoints[0].lb_endpoints]
            told.append((response.version_info, [each.port_value for each in addresses]))
        return told


@pytest.fixture(name="server")
def _server() -> DiscoveryServer:
    return DiscoveryServer(cast(Any, Time()))


def test_who_subscribes_is_told_the_latest_version_and_every_later_one(server: DiscoveryServer) -> None:
    server.publish(version(1, 1030))
    stream = Stream(server)
    stream.says(request())
    assert stream.told() == [("1", [1030])]
    server.publish(version(2, 1030, 1031))
    assert stream.told() == [("2", [1030, 1031])]


def test_a_version_is_in_effect_when_it_is_acknowledged(server: DiscoveryServer) -> None:
    first = server.publish(version(1))
    stream = Stream(server)
    stream.says(request())
    stream.says(request("1"))
    assert result_of(first) == ""
    second = server.publish(version(2))
    stream.says(request("1"))
    assert waits(second)
    stream.says(request("2"))
    assert result_of(second) == ""
    stream.says(request("2"))


def test_a_refusal_is_told_in_envoys_words(server: DiscoveryServer) -> None:
    answer = server.publish(version(1))
    Stream(server).says(request("1", b"no such \xff"))
    assert result_of(answer) == "no such \ufffd"


def test_other_kinds_of_resources_are_nothing_of_ours(server: DiscoveryServer) -> None:
    answer = server.publish(version(1))
    stream = Stream(server)
    stream.says(request(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster"))
    stream.says(request("1", type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster"))
    assert stream.told() == []
    assert waits(answer)


def test_a_stream_that_has_ended_is_told_nothing_more(server: DiscoveryServer) -> None:
    server.publish(version(1))
    stream = Stream(server)
    stream.says(request())
    server._ended(stream.outgoing)
    server._ended(stream.outgoing)
    stream.told()
    server.publish(version(2))
    assert stream.told() == []
