"""https URLs, through a HAProxy that somebody else runs."""

import datetime as dt
import ipaddress
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .command import HOST, TIMEOUT_S, Place
from .proxies import HAPROXY_DEFAULTS, binary

pytestmark = pytest.mark.real

CONFIG = (
    """\
global
    nbthread 1
    stats socket unix@{folder}/api.sock mode 600 level admin
"""
    + HAPROXY_DEFAULTS
    + """\
frontend front
    bind fd@{descriptor} ssl crt {certificate}
    default_backend app
backend app
    http-reuse always
    server s0 {host}:{port}
"""
)


def certificate(folder: Path, file: str = "front.pem") -> Path:
    """Write a certificate for 127.0.0.1 that its own key has signed, and the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proxyreload test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / file
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def front(place: Place) -> Iterator[Path]:
    """Start HAProxy with TLS on the front port, and return its certificate."""
    pem = certificate(place.folder)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, place.front_port))
        listening.listen()
        how = {"descriptor": listening.fileno(), "certificate": pem, "folder": place.folder}
        text = CONFIG.format(**how, host=HOST, port=place.first_port)
        config = place.write("haproxy.cfg", text)
        with (place.folder / "haproxy.log").open("wb") as log:
            process = subprocess.Popen(
                [binary("haproxy"), "-db", "-f", config], pass_fds=[listening.fileno()], stdout=log, stderr=log
            )
    yield pem
    process.kill()
    process.wait(TIMEOUT_S)


#: What whoever runs the proxy does for another certificate.
ROTATE = """\
import socket, sys

path, name, new = sys.argv[1:]
pem = open(new).read()
for command in (f"set ssl cert {name} <<\\n{pem}\\n", f"commit ssl cert {name}\\n"):
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(path)
        asked.sendall(command.encode())
        while asked.recv(4096):
            pass
"""


def test_somebody_elses_certificate_is_changed_by_a_command(place: Place, front: Path) -> None:
    second = certificate(place.folder, "second.pem")
    script = place.write("rotate.py", ROTATE)
    command = f"{sys.executable} {script} {place.folder / 'api.sock'} {front} {second}"
    asked = ("--plugin", "external", url(place), "--insecure", "--rotate-command", command)
    repeated = ("--repeat", "1", "--change", "rotate", "--pace", "0.8", "--backends", "2")
    result = place.run(*asked, *repeated, "--first-port", str(place.first_port))
    assert (result.status, result.stderr) == (0, "")
    [change] = result.changes
    first, second_shown = result.summary["tls"]["certificates"]
    told = change["certificate"]
    assert (told["number"], told["serial"]) == (2, second_shown["serial"])
    assert first["serial"] != second_shown["serial"]
    assert change["effective_us"] == told["shown_us"]


def url(place: Place) -> str:
    return place.front.replace("http:", "https:")


def words(place: Place) -> tuple[str, ...]:
    return (url(place), "--duration", "2", "--backends", "1", "--first-port", str(place.first_port))


def test_a_certificate_that_is_trusted_by_name_lets_every_request_through(place: Place, front: Path) -> None:
    result = place.run(*words(place), "--ca", str(front))
    assert result.stderr == ""
    assert (result.status, result.summary["failure"]) == (0, 0)
    assert {row.instance for row in result.rows} == {"0"}
    assert all(int(row.connect) > 0 for row in result.rows if row.carried == 0)
    result.assert_complete()


def test_an_unknown_certificate_is_trusted_where_that_is_asked_for(place: Place, front: Path) -> None:
    result = place.run(*words(place), "--insecure")
    assert (result.status, result.summary["failure"]) == (0, 0)


def test_an_unknown_certificate_is_no_connection(place: Place, front: Path) -> None:
    result = place.run(*words(place))
    assert (result.status, result.verdict) == (3, "invalid")
    assert result.summary["success"] == 0
    assert set(result.summary["failures"]) == {"connect error"}
    assert "certificate verify failed" in result.rows[0].status


@pytest.mark.parametrize(
    "text", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
def test_authorities_that_are_none_are_told_in_one_line(place: Place, text: str) -> None:
    path = place.write("ca.pem", text)
    result = place.run(*words(place), "--ca", path)
    assert result.stderr == f"proxyreload: --ca {path}: no certificate in PEM\n"
    assert result.status == 2
    assert place.left() == []


def test_clients_far_away_take_a_round_trip_of_tcp_and_one_of_tls(place: Place, front: Path) -> None:
    traffic = ("--traffic", "get=4", "--clients", "1", "--rate", "20", "--rtt", "40")
    result = place.run(*words(place), "--insecure", *traffic)
    assert (result.status, result.summary["failure"]) == (0, 0)
    far = [row for row in result.rows if row.kind == "get" and row.client != 0]
    assert {row.client for row in far} == {1, 2, 3, 4}
    # A handshake of TLS 1.3 is one round trip.
    assert all(int(row.connect) >= 80_000 for row in far if row.carried == 0)
    assert all(int(row.first_byte) - int(row.written) >= 40_000 for row in far)
