"""``docs/kubernetes.md``: its scripts change a proxy by way of a ``kubectl`` that plays a cluster, and tells what it was asked.

What it answers is what kubectl 1.32 printed when it was asked the same of an API server that had these objects.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from .command import HOST, TIMEOUT_S, Exits, Place, Result
from .mechanisms import assert_shown
from .page import blocks
from .proxies import HAPROXY_DEFAULTS, binary

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes.md"
#: It plays the gateway: those who are not in the route are in maintenance.
GATEWAY = (
    """\
global
    stats socket unix@api.sock mode 600 level admin
    pidfile proxy.pid
"""
    + HAPROXY_DEFAULTS
    + """\
frontend front
    bind 127.0.0.1:{front}
    default_backend app
backend app
"""
)
SERVER = "    server backend{number} 127.0.0.1:{port}{state}\n"

# The API server, of which there is one route in a file, and the gateway's controller, which does what the route says.
KUBECTL = r"""#!{python}
import json, socket, sys
from pathlib import Path

def told(command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("api.sock")
        connection.sendall(command.encode() + b"\n")
        connection.makefile().read()

def applied(operations, names):
    for operation in operations:
        keys = operation["path"].split("/")[5:]
        if operation["op"] == "test" and names[int(keys[0])] != operation["value"]:
            sys.exit('The httproutes "app" is invalid: : unknown')
        if operation["op"] == "add":
            names.append(operation["value"]["name"])
            told(f"set server app/{{names[-1]}} state ready")
        if operation["op"] == "remove":
            told(f"set server app/{{names.pop(int(keys[0]))}} state drain")

words = sys.argv[1:]
with open("asked.txt", "a") as file:
    print(json.dumps(words), file=file)
route = json.loads(Path("route.json").read_text())
match words:
    case ["rollout", "restart", *deployments]:
        for name in deployments:
            print(f"deployment.apps/{{name.removeprefix('deployment/')}} restarted")
    case ["rollout", "status", deployment, "--timeout=12s"]:
        name = deployment.removeprefix("deployment/")
        told(f"set server app/{{name}} state drain")
        print("Waiting for deployment spec update to be observed...")
        told(f"set server app/{{name}} state ready")
        print(f'deployment "{{name}}" successfully rolled out')
    case ["get", "httproute", "app", "-o", "jsonpath={{.spec.rules[0].backendRefs[*].name}}"]:
        print(" ".join(route["names"]), end="")
    case ["patch", "httproute", "app", "--type=json", "-p", patch, "-o", "jsonpath={{.metadata.generation}}"]:
        applied(json.loads(patch), route["names"])
        route["generation"] += 1
        Path("route.json").write_text(json.dumps(route))
        print(route["generation"], end="")
    case ["wait", "httproute/app", "--timeout=12s", condition]:
        if condition.rpartition("=")[2] != str(route["generation"]) or not route["accepts"]:
            sys.exit("error: timed out waiting for the condition on httproutes/app")
        print("httproute.gateway.networking.k8s.io/app condition met")
    case _:
        sys.exit(f"error: unknown command {{words}}")
"""
ACCEPTED = '--for=jsonpath={.status.parents[0].conditions[?(@.type=="Accepted")].observedGeneration}'


@pytest.fixture
def cluster(place: Place) -> Iterator[Place]:
    """Have the page's scripts, four backends, and what is in front of two of them."""
    for block in blocks(PAGE):
        if block.name.endswith(".sh"):
            place.write(block.name, block.text, mode=0o755)
    place.write("route.json", json.dumps({"names": ["backend0", "backend1"], "generation": 1, "accepts": True}))
    (place.folder / "bin").mkdir()
    place.write("bin/kubectl", KUBECTL.format(python=sys.executable), mode=0o755)
    ports = [place.first_port + number for number in range(4)]
    hosted = [place.start("backend", str(number), str(port)) for number, port in enumerate(ports)]
    servers = [
        SERVER.format(number=number, port=port, state=" disabled" if number > 1 else "")
        for number, port in enumerate(ports)
    ]
    place.write("haproxy.cfg", GATEWAY.format(front=place.front_port) + "".join(servers))
    subprocess.run([binary("haproxy"), "-D", "-f", "haproxy.cfg"], cwd=place.folder, check=True, timeout=TIMEOUT_S)
    for session in hosted:
        session.until("backend")
    answering = HTTPConnection(HOST, place.front_port, timeout=TIMEOUT_S)
    answering.request("GET", "/")
    answering.getresponse()
    answering.close()
    yield place
    left = [psutil.Process(int((place.folder / "proxy.pid").read_text(encoding="ascii")))]
    left += [psutil.Process(session.pid) for session in hosted]
    exits = Exits.of(left)
    for process in left:
        process.terminate()
    assert exits.left() == []


def run(place: Place, wanted: str, *words: str) -> Result:
    """Run the page's command that has `wanted` in it, at the ports of this place."""
    shown = [line for block in blocks(PAGE) for line in re.findall(r"^\$ (.*)", block.text, re.MULTILINE)]
    (command,) = [line for line in shown if wanted in line]
    program, *told = shlex.split(command.replace(":8080/", f":{place.front_port}/"))
    assert program == "proxyreload"
    environment = {**place.environment, "PATH": f"{place.folder / 'bin'}:{place.environment['PATH']}"}
    return place.run(*told, "--first-port", str(place.first_port), *words, environment=environment)


def asked(place: Place) -> list[Any]:
    """Return what ``kubectl`` was asked."""
    return [json.loads(line) for line in (place.folder / "asked.txt").read_text(encoding="utf-8").splitlines()]


def test_a_deployment_is_rolled_out(cluster: Place) -> None:
    result = run(cluster, "rollout.sh", "--pace", "0.3")
    assert [(change["action"], change["error"]) for change in result.changes] == [("reload", None)] * 3
    assert (result.status, result.summary["failures"]) == (0, {})
    once = [
        ["rollout", "restart", "deployment/backend0", "deployment/backend1"],
        *(["rollout", "status", f"deployment/backend{number}", "--timeout=12s"] for number in (0, 1)),
    ]
    assert asked(cluster) == once * 3


def test_a_route_gets_another_backend(cluster: Place) -> None:
    result = run(cluster, "edit.sh", "--duration", "4")
    assert [change["error"] for change in result.changes] == [None, None]
    assert_shown(result)
    refs = "/spec/rules/0/backendRefs"
    add = [{"op": "add", "path": f"{refs}/-", "value": {"name": "backend2", "port": 80}}]
    remove = [
        {"op": "test", "path": f"{refs}/0/name", "value": "backend0"},
        {"op": "remove", "path": f"{refs}/0"},
    ]
    added, waited, got, removed, waited_again = asked(cluster)
    assert (json.loads(added[5]), json.loads(removed[5])) == (add, remove)
    assert [words[-1] for words in (waited, waited_again)] == [f"{ACCEPTED}=2", f"{ACCEPTED}=3"]
    assert got[:3] == ["get", "httproute", "app"]


def test_a_route_that_is_not_accepted_is_a_refused_change(cluster: Place) -> None:
    names = {"names": ["backend0", "backend1"], "generation": 1, "accepts": False}
    cluster.write("route.json", json.dumps(names))
    result = run(cluster, "edit.sh", "--duration", "2")
    (line,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "the proxy refused it: " in line]
    assert result.changes[0]["error"] == line.partition("the proxy refused it: ")[2]
    assert (result.status, result.verdict) == (3, "ineffective")
