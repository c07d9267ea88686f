"""A certificate that nobody knows, for a proxy that speaks TLS."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL


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
