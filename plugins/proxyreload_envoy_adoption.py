"""A real bootstrap of Envoy's made into a template: listening elsewhere, with other hosts, and all else as it is.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/bootstrap/v3/bootstrap.proto
"""

import json
from collections.abc import Mapping
from pathlib import Path

import attrs

from proxyreload.adoption.adopted import Adopted, Adopter, Remark, Wanted, chosen
from proxyreload.proxy.yamltext import Node, YamlText

MANAGER = ".HttpConnectionManager"
EXTENSIONS = "type.googleapis.com/envoy.extensions"
PLAIN = f"{EXTENSIONS}.transport_sockets.raw_buffer.v3.RawBuffer"
ADDRESS = '{"socket_address": {"address": "@@front-host@@", "port_value": @@front-port@@}}'
HOST = '{"socket_address": {"address": "@@host@@", "port_value": @@port@@}}'
HOSTS = (
    '{"service_name": "app", "eds_config": {"resource_api_version": "V3", "path_config_source": {"path": "@@hosts@@"}}}'
)
ADMIN = '{"pipe": {"path": "@@admin@@", "mode": 0600}}'
ADMIN_OF_JSON = '{"pipe": {"path": "@@admin@@", "mode": 384}}'
NODE = '{"id": "proxyreload", "cluster": "proxyreload"}'
SECURED = (
    '{"name": "envoy.transport_sockets.tls", "typed_config": {'
    f'"@type": "{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {{'
    '"alpn_protocols": [@@each protocol@@"@@name@@"@@between@@, @@end@@], '
    '@@if secret@@"tls_certificate_sds_secret_configs": [{"name": "front", "sds_config": '
    '{"resource_api_version": "V3", "path_config_source": {"path": "@@secret@@"}}}]@@else@@'
    '"tls_certificates": [{"certificate_chain": {"filename": "@@certificate@@"}, '
    '"private_key": {"filename": "@@key@@"}}]@@end@@}}}'
)
EDITED = '{"match": {"path": "@@edited@@"}, "redirect": {"path_redirect": "@@leads-to@@", "response_code": "FOUND"}}'
#: Types of clusters whose hosts can be others, and what of them the run's hosts have not.
TYPES = ("", "STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS")
OF_TLS = ("transport_socket", "transport_socket_matches")


@attrs.define
class Adoption:
    """One bootstrap being made a template."""

    yaml: YamlText
    listener: Node  #: the clients'
    cluster: Node
    name: str  #: of the cluster
    remarks: list[Remark] = attrs.field(factory=list)
    _elsewhere: int = 0

    def template(self) -> Adopted:
        """Return it."""
        yaml = self.yaml
        self._admin()
        if yaml.entry(yaml.root, "node") is None:
            yaml.insert(yaml.root, "node", NODE)
        self._without(yaml.root, "dynamic_resources", "what a management server tells is not asked for")
        listeners = yaml.entry(yaml.root, "static_resources", "listeners")
        for each in yaml.items(listeners):
            if each is self.listener:
                self._front()
            else:
                self._other(listeners, each)
        self._hosts()
        return Adopted(yaml.template(), self.remarks)

    def _admin(self) -> None:
        yaml, told = self.yaml, ADMIN_OF_JSON if self.yaml.root.flow_style else ADMIN
        admin = yaml.entry(yaml.root, "admin")
        address = yaml.entry(admin, "address")
        if address is not None:
            yaml.replace(address, told)
        elif admin is not None:
            yaml.replace(admin, f'{{"address": {told}}}')
        else:
            yaml.insert(yaml.root, "admin", f'{{"address": {told}}}')
        for key in ("access_log", "access_log_path"):
            if address is not None:
                self._without(admin, key)

    def _other(self, listeners: Node, listener: Node) -> None:
        """Let a listener that no client of a run knows be at a socket."""
        yaml = self.yaml
        socket = yaml.entry(listener, "address", "socket_address")
        if yaml.scalar(yaml.entry(socket, "protocol")) == "UDP":
            yaml.remove(listeners, listener)
            self._say(listener, "a listener of datagrams is left out: the clients speak TCP")
            return
        self._elsewhere += 1
        if (address := yaml.entry(listener, "address")) is not None:
            yaml.replace(address, f'{{"pipe": {{"path": "@@folder@@/other-{self._elsewhere}.sock"}}}}')
        self._without(listener, "additional_addresses")

    def _front(self) -> None:
        yaml, listener = self.yaml, self.listener
        yaml.replace(yaml.entry(listener, "address"), ADDRESS)
        self._without(listener, "additional_addresses", "there is one front, where its address is")
        self._without(listener, "access_log")
        filters = yaml.entry(listener, "listener_filters")
        for each in yaml.items(filters):
            if "proxy_protocol" in yaml.scalar(yaml.entry(each, "name")):
                yaml.remove(filters, each)
                self._say(each, "without the PROXY protocol: the clients come straight, over the loopback")
        chains = yaml.items(yaml.entry(listener, "filter_chains"))
        if len(chains) > 1:
            self._say(chains[1], "which filter chain it is depends on what the clients say: there are several")
        default = yaml.entry(listener, "default_filter_chain")
        for chain in (*chains, *([default] if default is not None else [])):
            self._secure(chain)
        for key, value, within in list(yaml.walk(listener)):
            if key == "access_log" and within is not listener:
                yaml.remove(within, value)
        self._routes()

    def _secure(self, chain: Node) -> None:
        yaml = self.yaml
        before = yaml.entry(chain, "transport_socket")
        if before is None:
            yaml.insert(chain, "transport_socket", SECURED, "tls")
            return
        # Without TLS there is a socket of plain text, which is what there would be if there were none.
        plain = f'{{"name": "envoy.transport_sockets.raw_buffer", "typed_config": {{"@type": "{PLAIN}"}}}}'
        yaml.replace(before, f"@@if tls@@{SECURED}@@else@@{plain}@@end@@")
        self._say(before, "TLS is spoken with --tls, by a certificate of the run's, without it in the clear")
        if any(key == "require_client_certificate" for key, _value, _within in yaml.walk(before)):
            self._say(before, "clients are asked for no certificate: they have none")

    def _routes(self) -> None:
        """Have the edited route in each virtual host, and one for the name that clients ask for."""
        yaml = self.yaml
        for key, value, _within in list(yaml.walk(self.listener)):
            if key == "rds":
                self._say(value, "its routes come from elsewhere, and are left there")
            if key != "route_config":
                continue
            hosts = yaml.items(yaml.entry(value, "virtual_hosts"))
            for host in hosts:
                routes = yaml.entry(host, "routes")
                if yaml.items(routes):
                    yaml.insert_item(routes, EDITED, "edit")
            leading = [host for host in hosts if self._leads(host)]
            if not leading:
                self._say(value, f"none of these routes names the cluster {self.name}")
            domains = [yaml.entry(host, "domains") for host in leading]
            known = [yaml.scalar(each) for host in hosts for each in yaml.items(yaml.entry(host, "domains"))]
            if domains and domains[0] is not None and "*" not in known:
                for asked in ("@@hostname@@", "@@hostname@@:@@front-port@@"):  # a host has its port, if it is said
                    yaml.insert_item(domains[0], f'"{asked}"')
                self._say(domains[0], "the name that the clients of a run ask for is one more")

    def _leads(self, host: Node) -> bool:
        yaml = self.yaml
        found = [value for key, value, _within in yaml.walk(yaml.entry(host, "routes")) if key in ("cluster", "name")]
        return any(yaml.scalar(each) == self.name for each in found)

    def _hosts(self) -> None:
        yaml, cluster = self.yaml, self.cluster
        for key in OF_TLS:
            self._without(cluster, key, f"without {key}: the run's backends speak plain HTTP")
        kind = yaml.entry(cluster, "type")
        if kind is None:
            yaml.insert(cluster, "type", "@@if hosts@@EDS@@else@@STATIC@@end@@")
        else:
            told = '"{}"' if kind.style == '"' else "{}"
            yaml.replace(kind, f"@@if hosts@@{told.format('EDS')}@@else@@{told.format('STATIC')}@@end@@")
        assigned = yaml.entry(cluster, "load_assignment")
        discovered = yaml.entry(cluster, "eds_cluster_config")
        if assigned is None or discovered is not None:
            host = f'{{"endpoint": {{"address": {HOST}}}}}'
            hosts = f"[@@each backend@@{host}@@between@@, @@end@@]"
            static = f'{{"cluster_name": {json.dumps(self.name)}, "endpoints": [{{"lb_endpoints": {hosts}}}]}}'
            told = f'@@if hosts@@"eds_cluster_config": {HOSTS}@@else@@"load_assignment": {static}@@end@@'
            yaml.rewrite(cluster, discovered, told)
            self._say(discovered, "its hosts come from elsewhere: they are as the run's are, with nothing else to them")
            return
        localities = yaml.entry(assigned, "endpoints")
        first, *others = yaml.items(localities)
        for each in others:
            yaml.remove(localities, each)
            self._say(each, "there is one locality, as the first is")
        endpoints = yaml.entry(first, "lb_endpoints")
        kept, *more = yaml.items(endpoints)
        for each in more:
            if self._usual(each) != self._usual(kept):
                self._say(each, f"the hosts differ: every backend is as the one in line {yaml.line(kept)} is")
        yaml.replace(yaml.entry(kept, "endpoint", "address"), HOST)
        yaml.repeat(endpoints, kept)
        yaml.choose(cluster, assigned, "hosts", "eds_cluster_config", HOSTS)

    def _usual(self, host: Node) -> list[tuple[str, str]]:
        """Return what is said of a host that is not its alone."""
        yaml = self.yaml
        own = {id(each) for each in (yaml.entry(host, "endpoint", "address"),)}
        left: list[Node] = [host]
        usual: list[tuple[str, str]] = []
        while left:
            for key, value in yaml.entries(left.pop()):
                if id(value) not in own:
                    usual.append((key, yaml.scalar(value)))
                    left.append(value)
        return sorted(usual)

    def _without(self, within: Node, key: str, words: str = "") -> None:
        node = self.yaml.entry(within, key)
        if node is not None:
            self.yaml.remove(within, node)
            if words:
                self._say(node, words)

    def _say(self, node: Node, words: str) -> None:
        self.remarks.append(Remark(self.yaml.line(node), words))


def adopt(text: str, path: Path, wanted: Wanted) -> Adopted:
    """Return it as a template.

    A frontend is a listener by its name, or ``address:port`` where it has none, a backend a static cluster. Raises
    `UsageError` with the line of what cannot be: which listener or cluster, one that speaks no HTTP, has no host, or
    finds its hosts in a way of its own.
    """
    yaml = YamlText.parse(path, text)
    listeners = {
        _called(yaml, each): each for each in yaml.items(yaml.entry(yaml.root, "static_resources", "listeners"))
    }
    clusters = _named(yaml, yaml.entry(yaml.root, "static_resources", "clusters"))
    listener = listeners[chosen(path, "frontend", wanted.frontend, list(listeners))]
    name = chosen(path, "backend", wanted.backend, list(clusters))
    cluster = clusters[name]
    kinds = [yaml.scalar(value) for key, value, _within in yaml.walk(listener) if key == "@type"]
    if not any(kind.endswith(MANAGER) for kind in kinds):
        raise yaml.wrong(listener, "this listener has no http_connection_manager: the clients speak nothing else")
    socket = yaml.entry(listener, "address", "socket_address")
    if socket is None or yaml.scalar(yaml.entry(socket, "protocol")) == "UDP":
        raise yaml.wrong(listener, "this listener has no TCP address that could be another")
    kind = yaml.entry(cluster, "type")
    if yaml.entry(cluster, "cluster_type") is not None or yaml.scalar(kind) not in TYPES:
        raise yaml.wrong(cluster, f"cluster {name} finds its hosts in a way of its own: of another kind it is another")
    _require_hosts(yaml, cluster, name)
    return Adoption(yaml, listener, cluster, name).template()


def _require_hosts(yaml: YamlText, cluster: Node, name: str) -> None:
    if yaml.entry(cluster, "load_assignment") is None and yaml.entry(cluster, "eds_cluster_config") is not None:
        return
    localities = yaml.items(yaml.entry(cluster, "load_assignment", "endpoints"))
    hosts = yaml.items(yaml.entry(localities[0], "lb_endpoints")) if localities else ()
    if not hosts or yaml.entry(hosts[0], "endpoint", "address") is None:
        raise yaml.wrong(cluster, f"cluster {name} has no host: load_assignment with lb_endpoints")


def _named(yaml: YamlText, sequence: Node | None) -> Mapping[str, Node]:
    return {yaml.scalar(yaml.entry(each, "name")): each for each in yaml.items(sequence)}


def _called(yaml: YamlText, listener: Node) -> str:
    socket = yaml.entry(listener, "address", "socket_address")
    where = ":".join(yaml.scalar(yaml.entry(socket, each)) for each in ("address", "port_value"))
    return yaml.scalar(yaml.entry(listener, "name")) or where


adopter = Adopter(("envoy*.yaml", "envoy*.yml", "envoy*.json"), adopt)
