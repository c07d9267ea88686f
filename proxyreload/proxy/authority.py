"""An authority that is made for one run, and what it makes: the certificates of the front of a proxy of ours."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import trustme
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

#: The folder in a workspace's own, and its files.
FOLDER = "tls"
AUTHORITY, CERTIFICATE, KEY, BOTH = "authority.pem", "certificate.pem", "key.pem", "both.pem"


@attrs.frozen
class Issued:
    """A certificate with its key, in PEM."""

    number: int  #: from 1
    serial: str  #: in hexadecimal digits
    fingerprint: str  #: SHA-256, likewise
    chain: bytes = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)


@attrs.define(eq=False)
class Authority:
    """Signs for these names. Its own key is never written, and nobody but the run's clients trusts it."""

    names: Sequence[str]
    issued: int = attrs.field(default=0, init=False)
    _authority: trustme.CA = attrs.field(factory=trustme.CA, init=False, repr=False)

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._authority.cert_pem.bytes()

    def issue(self) -> Issued:
        """Make another certificate, with a key of its own."""
        self.issued += 1
        leaf = self._authority.issue_cert(*self.names)
        chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
        certificate = load_pem_x509_certificate(chain)
        serial, fingerprint = f"{certificate.serial_number:x}", certificate.fingerprint(SHA256()).hex()
        return Issued(self.issued, serial, fingerprint, chain, leaf.private_key_pem.bytes())


@attrs.define(eq=False)
class FrontCertificate:
    """What a proxy's front shows: files that stay where they are while what is in them is another after a `renew`.

    Each file is renamed into place and may be read by nobody else; the two together are not replaced at one moment.
    """

    folder: Path
    authority: Authority
    protocols: Sequence[str] = ("h2", "http/1.1")  #: what the front offers by ALPN, where the proxy speaks it
    current: Issued = attrs.field(init=False)
    before: Issued | None = attrs.field(default=None, init=False)  #: what the current one has replaced

    def __attrs_post_init__(self) -> None:
        """Write the first one; raises `OSError`."""
        self.folder.mkdir(mode=0o700)
        self._write(AUTHORITY, self.authority.pem)
        self._put(self.authority.issue())

    @property
    def authorities(self) -> Path:
        """The authority's own certificate."""
        return self.folder / AUTHORITY

    @property
    def certificate(self) -> Path:
        """The certificate alone, with what stands between it and the authority."""
        return self.folder / CERTIFICATE

    @property
    def key(self) -> Path:
        """Its key alone."""
        return self.folder / KEY

    @property
    def both(self) -> Path:
        """Both of them in one file, the certificate first."""
        return self.folder / BOTH

    def renew(self) -> Issued:
        """Put another certificate in the files, and return it; raises `OSError`."""
        self.before = self.current
        return self._put(self.authority.issue())

    def put_back(self) -> None:
        """Put the one before there again: the proxy has not taken what was there."""
        if self.before is not None:
            with suppress(OSError):
                self._put(self.before)

    def _put(self, issued: Issued) -> Issued:
        self._write(CERTIFICATE, issued.chain)
        self._write(KEY, issued.key)
        self._write(BOTH, issued.chain + issued.key)
        self.current = issued
        return issued

    def _write(self, name: str, content: bytes) -> None:
        beside = self.folder / f"{name}.new"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        beside.rename(self.folder / name)
