"""Fronts that speak TLS, and another certificate that is put in place: who shows it, who resumes what, who is closed."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from proxyreload.proxy.recipe import HOSTNAME

from .command import HOST, Place, Result, Session
from .mechanisms import assert_whole, third_party

pytestmark = pytest.mark.real

#: The resting clients rest when the change is made, and ask once more after it.
SCENARIO = """\
duration = 4.5

[[traffic]]
kind = "fresh"
clients = 1
rate = 20

[[traffic]]
kind = "idle"
clients = 4
gap = [1.7, 2]

[[step]]
at = 1.6
rotate = true

[[step]]
pause = 2.8
"""
CLOSED, ANNOUNCED, STAY = {"idle"}, {"announced"}, set[str]()
#: Whether the clients of `fresh` go on with their sessions of before, and what becomes of connections that rest.
RESUMED, SHOWN = True, False
TABLE = [
    ("haproxy:reload", SHOWN, CLOSED),
    ("nginx:reload", SHOWN, CLOSED),
    ("caddy:load", SHOWN, CLOSED),
    ("lighttpd:reload", SHOWN, CLOSED),
    ("haproxy:reload-idle", SHOWN, ANNOUNCED),
    ("nginx:reload-min-timeout", SHOWN, ANNOUNCED),
    ("nghttpx:api", SHOWN, ANNOUNCED),
    ("httpd:graceful", SHOWN, CLOSED),
    ("httpd:graceful-worker", SHOWN, ANNOUNCED),
    ("haproxy:runtime", RESUMED, STAY),
    ("traefik:file", SHOWN, STAY),
    ("envoy:file", SHOWN, STAY),
    ("sozu:runtime", None, STAY),
]
#: What is done by hand where nobody has heard of the mechanisms: the files are other ones, and that is all.
NEVER = '''\
"""Proxies to which nobody says that there is another certificate."""

import attrs
from proxyreload.proxy.interfaces import Cure, Mechanism, ProxyPlugin
from proxyreload_{proxy} import File, plugin as known
{more}

@attrs.define
class Never(File):
    async def rotate(self):
        pass


shows = Cure("what {proxy}:file does", "https://example.test/")
plugin = ProxyPlugin("never", known.binary, [
    Mechanism("files", "the files alone", Never, shows=shows, configuration={configuration})
])
'''
#: Of Traefik the dynamic file stays as it is; of Envoy the listener names the certificate's files.
BY_FILES = {
    "traefik": NEVER.format(proxy="traefik", more="from proxyreload_traefik import BY_FILE\n", configuration="BY_FILE"),
    "envoy": NEVER.format(
        proxy="envoy",
        more="from proxyreload_envoy_config import CERTIFICATES_AT_START, discovering\n",
        configuration="discovering(certificates=CERTIFICATES_AT_START)",
    ),
}


def begun(place: Place, mechanism: str, environment: dict[str, str] | None = None) -> Session:
    """Begin a run in which the certificate is changed."""
    path = place.write("rotate.toml", SCENARIO)
    words = ("--plugin", mechanism, "--tls", "--clients", "2", "--scenario", path, "--wait-old", "0", *place.ports)
    return place.start(*words, environment=environment)


def looked_at(place: Place, protocol: str) -> str:
    """Ask for the certificate as anybody may who trusts the run's authority; returns its serial."""
    [authority] = place.temp.glob("*/tls/authority.pem")
    modes = {path.stat().st_mode & 0o777 for path in [*authority.parent.iterdir(), *place.temp.glob("*/sds.json")]}
    assert modes == {0o600}
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection((HOST, place.front_port)) as plain,
        context.wrap_socket(plain, server_hostname=HOSTNAME) as secured,
    ):
        assert secured.selected_alpn_protocol() == protocol
        shown: Any = secured.getpeercert()
        return f"{int(shown['serialNumber'], 16):x}"


def first_and_second(result: Result) -> list[dict[str, Any]]:
    """Return the two certificates, and check that what is said of them is one and the same."""
    told = result.summary["tls"]
    first, second = told["certificates"]
    assert (first["number"], second["number"]) == (1, 2)
    for key in ("full", "resumed", "probe"):
        assert told[key] == first[key] + second[key]
    assert told["resumed"] <= told["offered"]
    assert "TLS: " in result.stdout
    assert "; over TLS" in result.stdout
    return [first, second]


@pytest.mark.parametrize(("mechanism", "resumed", "resting"), TABLE)
def test_a_new_certificate_is_shown(place: Place, mechanism: str, resumed: bool | None, resting: set[str]) -> None:  # noqa: FBT001
    session = begun(place, mechanism)
    session.until("change 1: rotate .* applied")
    seen = {looked_at(place, "h2"), looked_at(place, "http/1.1")}
    result = session.ended()
    assert_whole(place, result)
    [change] = result.changes
    assert (change["action"], change["error"]) == ("rotate", None)
    assert change["verdict"] != "ineffective"
    first, second = first_and_second(result)
    certificate = change["certificate"]
    assert (certificate["number"], certificate["serial"]) == (2, second["serial"])
    assert change["effective_us"] == certificate["shown_us"] > change["requested_us"]
    assert certificate["shown"] > 0
    assert second["serial"] in seen
    # Before it was changed everybody resumed, but the probe.
    assert min(first["full"], first["resumed"], first["probe"], second["probe"]) > 0
    if resumed is not None:
        # Who has a session either goes on with it and never sees another certificate, or is shown the new one.
        assert (second["full"] == 0) is resumed
        assert certificate["old_resumed"] > 0 or not resumed
    # One that had just asked may have been told.
    assert resting <= set(change["kinds"]["idle"]["front_closed"]) <= resting | (ANNOUNCED if resting else STAY)
    assert result.summary["tls"]["without_close_notify"] == 0


@pytest.mark.parametrize("proxy", BY_FILES)
def test_a_certificate_that_stays_is_found(place: Place, proxy: str) -> None:
    environment = dict(third_party(place, "never", BY_FILES[proxy]))
    kept(place, begun(place, "never", environment), f"what {proxy}:file does")


def test_sozu_upgrades_with_the_certificate_of_before(place: Place) -> None:
    result = kept(
        place, begun(place, "sozu:upgrade"), "certificate replace over the command socket, as in sozu:runtime"
    )
    assert set(result.changes[0]["kinds"]["idle"]["front_closed"]) >= CLOSED


def kept(place: Place, session: Session, helps: str) -> Result:
    """Check that the proxy has said that it has a certificate which it never shows."""
    result = session.ended()
    assert_whole(place, result)
    assert (result.status, result.verdict) == (3, "ineffective")
    [change] = result.changes
    assert (change["error"], change["effective_us"], change["certificate"]["shown"]) == (None, None, 0)
    assert change["reasons"][0].startswith("the new certificate was never shown: ")
    assert change["certificate"]["old_shown"] > 0
    [line] = [
        line for line in result.stdout.splitlines() if line.startswith("what makes it show another certificate: ")
    ]
    assert helps in line
    first, second = first_and_second(result)
    assert first["resumed"] > 0 == second["full"] == second["resumed"] == second["probe"]
    return result


def test_mechanisms_are_compared_over_tls(place: Place) -> None:
    words = ("control:faults", "haproxy:slots", "envoy:hot-restart", "--tls", "--change", "rotate", "--repeat", "1")
    traffic = ("--traffic", "get=2,fresh=1", "--rate", "50", "--pace", "1.5")
    result = place.run("compare", *words, *traffic, *place.ports)
    control, slots, restarted = [line for line in result.stdout.splitlines() if ":" in line.split(" ")[0]][:3]
    assert ("cannot" in control, "seamless" in slots) == (True, True)
    assert any(verdict in restarted for verdict in ("seamless", "graceful", "racy", "lossy"))
    assert "get=2, fresh=1; over TLS; get 50 requests/s" in result.stdout
    assert "control:faults: cannot speak TLS: what it does to its clients it does to plain sockets" in result.stdout


def test_clients_far_away_speak_tls_too(place: Place) -> None:
    words = ("--plugin", "haproxy:reload", "--tls", "--clients", "1", "--rate", "20", "--traffic", "fresh=2,get=2")
    result = place.run(*words, "--rtt", "40", "--repeat", "1", "--change", "rotate", "--pace", "1.5", *place.ports)
    assert_whole(place, result)
    [change] = result.changes
    assert change["certificate"]["shown"] > 0
    far = [row for row in result.rows if row.kind == "fresh" and row.client in (1, 2) and not row.failure]
    # A round trip for TCP, one for TLS.
    assert all(int(row.connect) >= 80_000 for row in far)
    assert result.summary["tls"]["resumed"] > 0


def test_a_mechanism_that_cannot_speak_tls_ends_with_a_line(place: Place) -> None:
    result = place.run("--plugin", "control:faults", "--tls", *place.ports)
    assert result.status == 2
    why = "what it does to its clients it does to plain sockets"
    assert result.stderr == f"proxyreload: control:faults cannot speak TLS: {why}\n"
    assert not Path(place.folder / "data.csv").exists()
