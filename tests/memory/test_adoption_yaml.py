"""Real bootstraps of Envoy's and dynamic files of Traefik's made into templates."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.adoption.adopted import Adopted, Wanted
from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import Template
from proxyreload.proxy.registry import choose
from proxyreload_envoy_adoption import adopter as envoy
from proxyreload_traefik_adoption import adopter as traefik

from .clocks import some_examples

BOOTSTRAP = """\
admin:
  access_log_path: /tmp/admin_access.log
  address:
    socket_address: { address: 127.0.0.1, port_value: 9901 }

static_resources:
  listeners:
  - name: web   # the clients'
    address:
      socket_address:
        address: 0.0.0.0
        port_value: 10000
    listener_filters:
    - name: envoy.filters.listener.proxy_protocol
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress_http
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: local_route
            virtual_hosts:
            - name: site
              domains: ["example.org"]
              routes:
              - match: { prefix: "/" }
                route: { cluster: site, timeout: 0s }
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates:
            - certificate_chain: { filename: /etc/site.pem }
              private_key: { filename: /etc/site.key }
  - name: other
    address:
      socket_address: { address: 0.0.0.0, port_value: 10001 }
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: other
          cluster: site

  clusters:
  - name: site
    connect_timeout: 2.5s
    type: STRICT_DNS
    # answered by us
    lb_policy: LEAST_REQUEST
    load_assignment:
      cluster_name: site
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address:
                address: one.example.org
                port_value: 8080
          load_balancing_weight: 2
        - endpoint:
            address:
              socket_address:
                address: two.example.org
                port_value: 8080
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: example.org
layered_runtime: {}
"""
DYNAMIC = """\
# ours @@ here
http:
  routers:
    to-https:
      rule: HostRegexp(`.+`)
      entryPoints:
        - web
      middlewares: [https]
      service: noop@internal
    site:
      rule: Host(`example.org`) && PathPrefix(`/`)
      entryPoints:
        - websecure
      service: site
      middlewares:
        - headers
      tls:
        certResolver: le
  middlewares:
    https:
      redirectScheme:
        scheme: https
    headers:
      headers:
        customResponseHeaders:
          X-Mine: "yes"
  services:
    site:
      loadBalancer:
        passHostHeader: true   # as asked
        servers:
          - url: https://10.0.0.1:8080/base
            weight: 2
          - url: https://10.0.0.2:8080/base
    other:
      loadBalancer: {servers: [{url: "http://10.0.0.9"}]}
tls:
  certificates:
    - certFile: /etc/site.pem
      keyFile: /etc/site.key
  options:
    default: {sniStrict: true}
    modern:
      minVersion: VersionTLS12
      clientAuth:
        caFiles: [/etc/ca.pem]
        clientAuthType: RequireAndVerifyClientCert
"""
ENVOY, TRAEFIK = Path("envoy.yaml"), Path("dynamic.yml")
VALUES = {
    "front-host": "127.0.0.1",
    "front-port": 80,
    "hostname": "run.test",
    "folder": "/f",
    "admin": "/f/admin.sock",
    "backend": [{"host": "127.0.0.1", "port": each, "address": f"127.0.0.1:{each}"} for each in (1031, 1032)],
}
OF_TLS = {"tls": True, "protocol": [{"name": "h2"}], "certificate": "/f/c.pem", "key": "/f/k.pem"}
TOLD = {"hosts": "/f/eds.json", "secret": "/f/sds.json"}
EDITED = {"edit": True, "edited": "/edited", "leads-to": "/there"}


def taken(adopted: Adopted, name: str, *actions: str) -> None:
    """Check that a mechanism takes what was made."""
    own = choose(name).mechanism.configuration
    assert own is not None
    own.with_files({"mine": adopted.text}, "mine").require(actions, tls=True)


def filled(adopted: Adopted, **values: object) -> Any:
    return yaml.safe_load(Template.parse("x", adopted.text).filled({**VALUES, **values}))


def in_json(text: str) -> str:
    return json.dumps(yaml.safe_load(text), indent=1)


def test_an_operators_envoy_listens_elsewhere_with_other_hosts() -> None:
    adopted = envoy.adopt(BOOTSTRAP, ENVOY, Wanted("site", "web"))
    assert list(adopted.told("envoy.yaml")) == [
        "envoy.yaml:14: without the PROXY protocol: the clients come straight, over the loopback",
        "envoy.yaml:35: the name that the clients of a run ask for is one more",
        "envoy.yaml:39: TLS is spoken with --tls, by a certificate of the run's, without it in the clear",
        "envoy.yaml:39: clients are asked for no certificate: they have none",
        "envoy.yaml:75: the hosts differ: every backend is as the one in line 69 is",
        "envoy.yaml:80: without transport_socket: the run's backends speak plain HTTP",
    ]
    gone = {line[1:] for line in adopted.difference(BOOTSTRAP, "envoy.yaml") if line.startswith("-")}
    kept = [line for line in BOOTSTRAP.splitlines() if line not in gone]
    assert [line for line in adopted.text.splitlines() if line in kept] == kept
    assert "    # answered by us" in kept
    for name in ("file", "restart"):
        taken(adopted, f"envoy:{name}", "add", "remove", "rotate")
    taken(adopted, "envoy:hot-restart", "add", "remove", "rotate", "edit")


@pytest.mark.parametrize("text", [BOOTSTRAP, in_json(BOOTSTRAP)])
def test_what_envoy_is_run_from_then_is_the_same_but_for_that(text: str) -> None:
    adopted = envoy.adopt(text, ENVOY, Wanted("site", "web"))
    expected = yaml.safe_load(BOOTSTRAP)
    expected["node"] = {"id": "proxyreload", "cluster": "proxyreload"}
    expected["admin"] = {"address": {"pipe": {"path": "/f/admin.sock", "mode": 0o600}}}
    web, other = expected["static_resources"]["listeners"]
    web["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": 80}}
    other["address"] = {"pipe": {"path": "/f/other-1.sock"}}
    (chain,) = web["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    del manager["access_log"]
    (host,) = manager["route_config"]["virtual_hosts"]
    host["domains"][:0] = ["run.test", "run.test:80"]
    (site,) = expected["static_resources"]["clusters"]
    del site["transport_socket"]
    site["type"] = "STATIC"
    site["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {
            "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}},
            "load_balancing_weight": 2,
        }
        for port in (1031, 1032)
    ]
    made = filled(adopted)
    assert "listener_filters" not in made["static_resources"]["listeners"][0]
    del web["listener_filters"]
    assert chain["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    (shown,) = made["static_resources"]["listeners"][0]["filter_chains"]
    assert shown["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"
    for each in (web, made["static_resources"]["listeners"][0]):
        del each["filter_chains"][0]["transport_socket"]
    assert made == expected

    told = filled(adopted, **TOLD, **OF_TLS, **EDITED)["static_resources"]
    (site,) = told["clusters"]
    assert (site["type"], site["eds_cluster_config"]["service_name"]) == ("EDS", "app")
    assert "load_assignment" not in site
    (chain,) = told["listeners"][0]["filter_chains"]
    context = chain["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["alpn_protocols"] == ["h2"]
    assert "/f/sds.json" in str(context)
    assert "/f/c.pem" in str(filled(adopted, **OF_TLS))
    (host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert [route["match"] for route in host["routes"]] == [{"path": "/edited"}, {"prefix": "/"}]


def test_an_envoy_without_an_admin_interface_and_that_is_told_its_hosts_has_both_of_the_runs() -> None:
    made = yaml.safe_load(BOOTSTRAP)
    del made["admin"]
    (site,) = made["static_resources"]["clusters"]
    del site["load_assignment"], site["type"]
    site["eds_cluster_config"] = {"eds_config": {"ads": {}}}
    made["dynamic_resources"] = {"ads_config": {}}
    adopted = envoy.adopt(yaml.safe_dump(made), ENVOY, Wanted(frontend="web"))
    for values, kind, key in (({}, "STATIC", "load_assignment"), (TOLD, "EDS", "eds_cluster_config")):
        run = filled(adopted, **values)
        assert run["admin"]["address"] == {"pipe": {"path": "/f/admin.sock", "mode": 0o600}}
        assert not run.get("dynamic_resources")
        (site,) = run["static_resources"]["clusters"]
        assert site["type"] == kind
        assert {"load_assignment", "eds_cluster_config"} & site.keys() == {key}
    assert any("its hosts come from elsewhere" in line for line in adopted.told("x"))
    assert any("what a management server tells is not asked for" in line for line in adopted.told("x"))


@pytest.mark.parametrize(
    ("right", "wrong", "wanted", "complaint"),
    [
        ("", "", Wanted(), "say which frontend the clients use (--frontend); there are: web, other"),
        ("", "", Wanted("x", "web"), "no backend 'x'; there are: site"),
        ("", "", Wanted("site", "other"), "48: this listener has no http_connection_manager"),
        ("STRICT_DNS", "ORIGINAL_DST", Wanted("site", "web"), "60: cluster site finds its hosts in a way of its own"),
        ("lb_endpoints:", "others:", Wanted("site", "web"), "60: cluster site has no host"),
        ("    listener_filters:", "\tlistener_filters:", Wanted("site", "web"), "13: no YAML: "),
        (
            "        port_value: 10000",
            "        protocol: UDP",
            Wanted("site", "web"),
            "8: this listener has no TCP address that could be another",
        ),
    ],
)
def test_what_cannot_be_of_an_envoy_is_told_with_its_line(
    right: str, wrong: str, wanted: Wanted, complaint: str
) -> None:
    with pytest.raises(UsageError) as raised:
        envoy.adopt(BOOTSTRAP.replace(right, wrong), ENVOY, wanted)
    assert str(raised.value).removeprefix("envoy.yaml:").lstrip().startswith(complaint)


SITE = Wanted("site", "websecure")


def test_an_operators_traefik_has_other_servers() -> None:
    adopted = traefik.adopt(DYNAMIC, TRAEFIK, SITE)
    assert list(adopted.told("dynamic.yml")) == [
        "dynamic.yml:4: router to-https is left out: it is at web alone",
        "dynamic.yml:11: the name that the clients of a run ask for is one more",
        "dynamic.yml:17: TLS is spoken with --tls, by a certificate of the run's, without it in the clear",
        "dynamic.yml:21: what comes in the clear and is asked of this is redirected: run it with --tls",
        "dynamic.yml:32: http in place of https: the run's backends speak plain HTTP",
        "dynamic.yml:34: the servers differ: every backend is as the one in line 32 is",
        "dynamic.yml:38: without certificates: the front shows a certificate of the run's",
        "dynamic.yml:42: without the default options: those of the front are the run's",
        "dynamic.yml:45: clients are asked for no certificate: they have none",
    ]
    gone = {line[1:] for line in adopted.difference(DYNAMIC, "dynamic.yml") if line.startswith("-")}
    kept = [line for line in DYNAMIC.splitlines() if line not in gone]
    assert [line for line in adopted.text.splitlines() if line in kept] == kept
    for name in ("file", "file-in-place", "rest", "http", "restart"):
        taken(adopted, f"traefik:{name}", "add", "remove", "rotate", "edit")


@pytest.mark.parametrize("text", [DYNAMIC, in_json(DYNAMIC)])
def test_what_traefik_is_told_then_is_the_same_but_for_that(text: str) -> None:
    adopted = traefik.adopt(text, TRAEFIK, SITE)
    expected = yaml.safe_load(DYNAMIC)
    http = expected["http"]
    del http["routers"]["to-https"], http["routers"]["site"]["tls"], expected["tls"]["certificates"]
    del expected["tls"]["options"]["modern"]["clientAuth"], expected["tls"]["options"]["default"]
    http["routers"]["site"]["entryPoints"] = ["web"]
    http["routers"]["site"]["rule"] = "(Host(`example.org`) || Host(`run.test`)) && PathPrefix(`/`)"
    servers = [{"url": f"http://127.0.0.1:{port}/base", "weight": 2} for port in (1031, 1032)]
    http["services"]["site"]["loadBalancer"]["servers"] = servers
    assert filled(adopted) == expected
    edited = filled(adopted, **EDITED)["http"]
    assert edited["routers"].pop("proxyreload-edited")["rule"] == "Path(`/edited`)"
    replacement = edited["middlewares"].pop("proxyreload-edited")["redirectRegex"]["replacement"]
    assert replacement == "${1}/there"
    assert edited == http


def test_of_a_section_that_has_nothing_else_nothing_is_left() -> None:
    """Of an empty section ``tls`` Traefik says that it cannot stand alone, and reads nothing of the file."""
    start, end = DYNAMIC.index("    modern:"), len(DYNAMIC)
    adopted = traefik.adopt(DYNAMIC[:start] + DYNAMIC[end:], TRAEFIK, SITE)
    assert "tls" not in filled(adopted)
    assert "# tls:\n#   certificates:\n" in adopted.text


TOML = """\
[http.routers.site]
  rule = "PathPrefix(`/`)"
  service = "mixed"
[[http.services.site.loadBalancer.servers]]
  url = "h2c://10.0.0.1"
[[http.services.mixed.weighted.services]]
  name = "site"
"""


def test_a_traefik_in_toml_is_the_same_in_json() -> None:
    adopted = traefik.adopt(TOML, Path("dynamic.toml"), Wanted())
    servers = [{"url": f"h2c://127.0.0.1:{port}"} for port in (1031, 1032)]
    assert filled(adopted) == {
        "http": {
            "routers": {"site": {"rule": "PathPrefix(`/`)", "service": "mixed"}},
            "services": {
                "site": {"loadBalancer": {"servers": servers}},
                "mixed": {"weighted": {"services": [{"name": "site"}]}},
            },
        }
    }
    taken(adopted, "traefik:rest", "edit")
    with pytest.raises(UsageError, match=r"dynamic\.toml:2: no TOML that could be JSON: "):
        traefik.adopt("a = 1\nb = \n", Path("dynamic.toml"), Wanted())


@pytest.mark.parametrize(
    ("text", "wanted", "complaint"),
    [
        (DYNAMIC, Wanted("site"), "say which frontend the clients use (--frontend); there are: web, websecure"),
        (DYNAMIC, Wanted("", "web"), "say which backend the clients use (--backend); there are: site, other"),
        (DYNAMIC, Wanted("other", "websecure"), "35: no router at websecure leads to service other"),
        (DYNAMIC.replace("https://10.0.0.1:8080/base", "unix"), SITE, "32: this server has no url with a scheme"),
        (DYNAMIC.replace("example.org", "{{ env }}"), SITE, "11: {{ is a template of Traefik's own"),
        ("entryPoints: {}\n", SITE, "1: entryPoints is of a static configuration"),
        ("http: {}\n", SITE, "no router: nothing leads to a service"),
        ("http: {routers: {a: {service: b}}}\n", Wanted(), "say which backend the clients use"),
    ],
)
def test_what_cannot_be_of_a_traefik_is_told_with_its_line(text: str, wanted: Wanted, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        traefik.adopt(text, TRAEFIK, wanted)
    assert str(raised.value).removeprefix("dynamic.yml:").lstrip().startswith(complaint)


@given(st.sampled_from([BOOTSTRAP, DYNAMIC]), st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), max_size=4))
@some_examples
def test_whatever_lines_are_missing_what_comes_of_it_is_a_template_or_says_why_not(
    text: str, missing: list[tuple[int, int]]
) -> None:
    lines = text.splitlines(keepends=True)
    for first, number in missing:
        del lines[first : first + number % 7]
    path, adopter, wanted = (ENVOY, envoy, Wanted("site", "web")) if text == BOOTSTRAP else (TRAEFIK, traefik, SITE)
    try:
        adopted = adopter.adopt("".join(lines), path, wanted)
    except UsageError as error:
        told = str(error)
    else:
        told = f"{path}:"
        filled(adopted)
        filled(adopted, **TOLD, **OF_TLS, **EDITED)
    assert told.startswith(f"{path}:")
