"""Pages are filled in from templates, where whatever is put in is text."""

from jinja2 import Environment, PackageLoader, StrictUndefined

import proxyreload


def filled(template: str, **values: object) -> str:
    """Return a template with these values in it, and the ``version``."""
    environment = Environment(
        loader=PackageLoader("proxyreload.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values, version=proxyreload.__version__)
