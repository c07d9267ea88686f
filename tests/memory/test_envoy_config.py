"""Envoy's bootstrap, and what it is told while it runs: what a user's must have, and under which names."""

import json

import pytest
import yaml

from proxyreload.errors import UsageError
from proxyreload.proxy.configuration import Configuration, values
from proxyreload.proxy.registry import choose
from proxyreload.proxy.upstream import Upstream
from proxyreload_envoy_config import CONFIG_FILE, HOSTS_FILE, cluster

TOLD = ("file", "rest", "ads", "restart")
MARKS = {
    **dict.fromkeys(["admin", "hosts", "routes", "secret", "discovery"], "/somewhere"),
    **dict.fromkeys(["hosts-version", "routes-version"], 1),
}


def own(mechanism: str) -> Configuration:
    made = choose(f"envoy:{mechanism}").mechanism.configuration
    assert made is not None
    return made


@pytest.mark.parametrize("mechanism", [*TOLD, "hot-restart"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_whatever_the_number_of_backends_what_is_run_is_well_formed(mechanism: str, number: int) -> None:
    upstreams = [Upstream(each, "127.0.0.1", 1030 + each) for each in range(number)]
    common = values("127.0.0.1:80", 60, upstreams, hostname="x", whole_timeout_s=60, root=False)
    texts = own(mechanism).filled({**common, **MARKS})
    bootstrap = yaml.safe_load(texts.pop(CONFIG_FILE))
    (listener,) = bootstrap["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 80}
    assert "transport_socket" not in listener["filter_chains"][0]
    (app, *_others) = bootstrap["static_resources"]["clusters"]
    told = json.loads(texts[HOSTS_FILE])["resources"][0] if texts else app["load_assignment"]
    hosts = [each["endpoint"]["address"]["socket_address"] for each in told["endpoints"][0]["lb_endpoints"]]
    assert hosts == [{"address": each.host, "port_value": each.port} for each in upstreams]
    assert all(json.loads(text) is not None for text in texts.values())


@pytest.mark.parametrize(
    ("mechanism", "right", "wrong", "complaint"),
    [
        ("file", "port_value: @@front-port@@", "port_value: 80", "'address: {socket_address.*' has no marker front-po"),
        ("file", "@@admin@@", "/run/x", "'admin:' has no marker admin, the socket of the admin interface"),
        ("file", "@@hosts@@", "/run/x", "'eds_cluster_config:' has no marker hosts, the path of eds.json"),
        ("rest", "@@discovery@@", "/run/x", "'eds_cluster_config:' has no marker discovery, the socket at which"),
        ("ads", "@@discovery@@", "/run/x", "'eds_cluster_config:' has no marker discovery, the socket at which"),
        ("hot-restart", "@@each backend@@", "@@if tls@@", "'endpoints: .*' has no marker backend, each backend that"),
        ("file", "name: app\n", "name: site\n", "no cluster is called app, whose hosts eds.json has"),
    ],
)
def test_what_is_missing_is_told_with_its_line(mechanism: str, right: str, wrong: str, complaint: str) -> None:
    made = own(mechanism)
    text = made.texts[CONFIG_FILE].replace(right, wrong).replace("@@between@@, @@end@@]}]", "@@end@@]}]")
    with pytest.raises(UsageError, match=rf"mine\.yaml:(\d+:)? {complaint}"):
        made.with_files({"mine.yaml": text}, "mine.yaml")


def test_an_edit_needs_a_place_from_which_envoy_has_its_routes() -> None:
    made = own("file")
    text = made.texts[CONFIG_FILE].replace("@@routes@@", "/run/rds.json")
    mine = made.with_files({"mine.yaml": text}, "mine.yaml")
    mine.require(["add", "remove"], tls=True)
    with pytest.raises(UsageError, match=r"mine\.yaml:\d+: 'rds:' has no marker routes, the path of rds\.json"):
        mine.require(["edit"], tls=False)


def test_the_certificate_needs_one_too() -> None:
    made = own("file")
    text = made.texts[CONFIG_FILE].replace("@@secret@@", "/run/sds.json")
    with pytest.raises(UsageError, match="nothing in it shows a certificate"):
        made.with_files({"mine.yaml": text}, "mine.yaml").require([], tls=True)


def test_the_cluster_is_called_as_the_users_hosts_say() -> None:
    made = own("file")
    hosts = made.texts[HOSTS_FILE].replace('"app"', '"site"')
    bootstrap = made.texts[CONFIG_FILE]
    with pytest.raises(UsageError, match=r"^mine: no cluster is called site, whose hosts eds\.json has"):
        made.with_files({HOSTS_FILE: hosts}, "mine")
    for name in ("name: site\n", "name: 'site' # ours\n", '"name": "site"\n'):
        files = {HOSTS_FILE: hosts, CONFIG_FILE: bootstrap.replace("name: app\n", name)}
        assert cluster(made.with_files(files, "mine").texts) == "site"
    with pytest.raises(UsageError, match=r'eds\.json names no cluster: "cluster_name": "app"'):
        made.with_files({HOSTS_FILE: hosts.replace("cluster_name", "name")}, "mine")
