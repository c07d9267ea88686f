"""Where a trace is sent: what ``--otel`` says, or the environment as OpenTelemetry names it.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from proxyreload.errors import UsageError
from proxyreload.otel.option import ENVIRONMENT, OPTION
from proxyreload.plan.settings import CollectorSettings, Target

_TRACES, _BASE = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
_DEFAULT = "http://localhost:4318"
_PATH = "/v1/traces"


def collector_of(text: str | None, environment: Mapping[str, str] = os.environ) -> CollectorSettings:
    """Return where a trace is to be sent: of a URL, ``environment``, or nowhere; raises `UsageError`."""
    if text is None:
        return CollectorSettings()
    if text != ENVIRONMENT:
        return _parsed(OPTION, _with_path(text))
    whole = environment.get(_TRACES)
    if whole:
        return _parsed(_TRACES, whole)
    return _parsed(_BASE, _with_path(environment.get(_BASE) or _DEFAULT))


def _with_path(base: str) -> str:
    """Return the address for traces of a collector's; what is no URL stays what it is."""
    try:
        parts = urlsplit(base)
    except ValueError:
        return base
    path = parts.path.rstrip("/")
    return base if not parts.netloc else parts._replace(path=path.removesuffix(_PATH) + _PATH).geturl()


def _parsed(who: str, url: str) -> CollectorSettings:
    try:
        target = Target.parse(url)
    except UsageError as error:
        msg = f"{who}: {error}"
        raise UsageError(msg) from error
    return CollectorSettings(target.url, target.authorization)
