"""What a run opens on its host: to other users its proxies' admin interfaces are shut, whatever the mechanism."""

import signal
import stat
from pathlib import Path

import pytest

from proxyreload.proxy.registry import choose

from .command import HOST, Exits, Place, Session
from .listeners import NAMES, QUESTIONS, Listeners, reached_by_others, resolves, says
from .mechanisms import assert_whole
from .proxies import SOZU

pytestmark = pytest.mark.real

PLUGINS = (
    "caddy",
    "control",
    "envoy",
    "haproxy",
    "httpd",
    "lighttpd",
    "nghttpx",
    "nginx",
    "squid",
    "traefik",
    "sozu",
    "trafficserver",
    "varnish",
)
ALL = [
    pytest.param(f"{plugin}:{mechanism.name}", marks=SOZU.marks if plugin == "sozu" else ())
    for plugin in PLUGINS
    for mechanism in choose(plugin).plugin.mechanisms
    if mechanism.name != "restart"  # it starts the same again
]

#: What whoever has not the secret is told: that nothing is there; or, by Varnish's CLI, that he is to prove that he has it.
SHUT = (b"HTTP/1.1 404 ", b"107 ")

#: A proxy's own first reload or upgrade is where it listens anew.
SCENARIO = """\
duration = 3600
step = [{{at = 0.3, add = 2}}, {{pause = 1.5}}, {steps}{{remove = 0}}]
"""


def changes(name: str) -> tuple[str, int]:
    """Return a scenario with all that a mechanism can do, and how many changes that makes."""
    mechanism = choose(name).mechanism
    able = [action for action in ("reload", "upgrade") if not mechanism.why_not(action)]
    steps = "".join(f"{{{action} = true}}, {{pause = 1.5}}, " for action in able)
    return SCENARIO.format(steps=steps), 2 + len(able)


#: Whose own socket asks name servers, and answers nobody (tests/real/test_mechanisms_squid.py).
ASKS = "squid"


def opened(place: Place, session: Session, *, asks: bool) -> list[str]:
    """Say what anybody else on the host gets from the run's processes; one that `asks` is no name server."""
    found = Listeners()
    while (HOST, place.first_port) not in found.ports:  # it may be between two of the proxy's processes
        assert session.process.poll() is None
        found = Listeners.of([session.pid, *(process.pid for process in session.descendants())])
    wrong = [f"{socket}: {way}" for socket in found.sockets if (way := reached_by_others(socket))]
    wrong += [f"{address}:{port} is not loopback" for address, port in found.ports | found.datagrams if address != HOST]
    known = range(place.first_port, place.first_port + 5)
    for _address, port in found.ports:
        for method, path in QUESTIONS if port not in known else ():
            said = says(port, method, path)
            if said and not said.startswith(SHUT):
                wrong.append(f"{port}: {method} {path}: {said[:200]!r}")
    servers = [] if asks else [port for _address, port in found.datagrams]
    wrong += [f"{port}: {name!r} is known" for port in servers for name in NAMES if resolves(port, name)]
    folders = [path for path in place.temp.iterdir() if path.is_dir()]
    wrong += [f"{path}: mode {path.stat().st_mode:o}" for path in folders if stat.S_IMODE(path.stat().st_mode) != 0o700]
    return wrong


@pytest.mark.parametrize("name", ALL)
def test_nothing_but_the_front_and_the_backends_is_open_to_others(place: Place, name: str) -> None:
    text, number = changes(name)
    place.temp.chmod(0o755)  # as /tmp is: what keeps others out is the run's own folder
    session = place.start("--plugin", name, "--scenario", place.write("all.toml", text), *place.ports)
    for change in range(1, number + 1):
        session.until(f"change {change}: .* applied")
        assert opened(place, session, asks=name.startswith(ASKS)) == []
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGTERM)
    result = session.ended()
    assert [change["error"] for change in result.changes] == [None] * number
    assert_whole(place, result)
    assert exits.left() == []


def test_the_memory_that_epochs_share_is_the_users_own(place: Place) -> None:
    session = place.start("--plugin", "envoy:hot-restart", "--duration", "3600", *place.ports)
    session.until("client")
    (envoy,) = session.children()
    words = envoy.cmdline()
    shared = Path(f"/dev/shm/envoy_shared_memory_{words[words.index('--base-id') + 1]}0")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o600
    session.signal(signal.SIGTERM)
    assert_whole(place, session.ended())
