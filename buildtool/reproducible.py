"""setuptools as the build backend (PEP 517), whose archives depend on their contents alone.

Wheels take their times from SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/); setuptools'
sdists do not, and keep each file's time, owner and mode.
"""

import gzip
import io
import os
import tarfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

# Files made while building go into the wheel with their modes.
os.umask(0o022)
# The earliest time that a zip archive, thus a wheel, can hold.
_EPOCH_S = int(os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800"))


def build_sdist(sdist_directory: str, config_settings: dict[str, str] | None = None) -> str:
    """Build it and pack it anew, in order of name, with one time, no owner, and the modes that matter."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path = Path(sdist_directory, name)
    path.write_bytes(_packed_anew(path))
    return name


def _packed_anew(path: Path) -> bytes:
    packed = io.BytesIO()
    with (
        tarfile.open(path) as old,
        gzip.GzipFile("", "wb", fileobj=packed, mtime=_EPOCH_S) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            plain = tarfile.TarInfo(member.name)
            plain.type, plain.size, plain.mtime = member.type, member.size, _EPOCH_S
            plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(plain, old.extractfile(member))
    return packed.getvalue()
