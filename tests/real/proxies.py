"""The proxies that the tests run."""

from pathlib import Path

import pytest

from proxyreload.errors import ProxyreloadError
from proxyreload.proxy.registry import choose

#: What all of the tests' own configurations have of HAProxy, and of nginx.
HAPROXY_DEFAULTS = """\
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
"""
NGINX_FOLDERS = """\
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
"""


def binary(name: str) -> Path:
    """Return the program of the plugin `name`."""
    program = choose(name).plugin.binary
    assert program is not None
    return program.find()


def _why_not(name: str) -> str:
    try:
        binary(name)
    except ProxyreloadError as error:
        return str(error)
    return ""


def is_built(name: str) -> bool:
    """Whether the program of a plugin is there."""
    return not _why_not(name)


_NO_SOZU = _why_not("sozu")

#: sozu has no package that could be installed along; its tests are left out where it was not built.
SOZU = pytest.param("sozu", marks=pytest.mark.skipif(bool(_NO_SOZU), reason=_NO_SOZU))
PLUGINS = ("haproxy", "nginx", SOZU)
#: Those whose recommended mechanism loses nothing.
LOSSLESS = ("haproxy", SOZU)
