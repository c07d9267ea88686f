"""Certificates for a proxy that speaks TLS: one that nobody knows, and those of an authority that is made once."""

import datetime as dt
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from proxyreload.proxy.authority import Authority, Issued

NAME = "proxyreload.test"


def server_context() -> SSL.Context:
    """Return what such a proxy's connections are made of."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "it")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(7).not_valid_before(now).not_valid_after(now + dt.timedelta(days=36_500))
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(dated.sign(key, hashes.SHA256()))
    context.use_privatekey(key)
    return context


@cache
def authority() -> Authority:
    """Return the one of all tests."""
    return Authority((NAME, "127.0.0.1"))


def show(at: SSL.Context | SSL.Connection, issued: Issued) -> None:
    """Let a proxy show a certificate, on all its connections or on one."""
    key = load_pem_private_key(issued.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    at.use_certificate(x509.load_pem_x509_certificate(issued.chain))
    at.use_privatekey(key)


def context_of(issued: Issued, version: int = SSL.TLS1_3_VERSION) -> SSL.Context:
    """Return what the connections of a proxy are made of that shows a certificate of the authority's."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_session_id(b"front")
    context.set_max_proto_version(version)
    show(context, issued)
    return context
