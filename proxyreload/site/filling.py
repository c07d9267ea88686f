"""The site's pages are filled in from templates, where whatever is put in is text, and only our own script runs."""

import base64
import hashlib
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import proxyreload

#: The report's own look, and what a site has besides.
_STYLES = ("report.css", "site.css")
_SCRIPT = "site.js"


def filled(template: str, **values: object) -> str:
    """Return a page with these values in it, and the ``version``."""
    return _environment().get_template(template).render(**values, version=proxyreload.__version__)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("proxyreload.site"), PackageLoader("proxyreload.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "".join(_source(environment, name) for name in _STYLES)
    script = _source(environment, _SCRIPT)
    environment.globals.update(
        style=Markup(style),  # noqa: S704  (ours, as the script)
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
    )
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101  (for the type checker)
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """Return what the pages may do, from a folder as from a server: what is ours word for word."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
