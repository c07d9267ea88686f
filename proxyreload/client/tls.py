"""TLS for clients whose target is an https URL."""

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from proxyreload.settings import Target


def tls_options(target: Target) -> IOpenSSLClientConnectionCreator | None:
    """Return how to verify the proxy's certificate (the system's authorities); None where there is no TLS."""
    if not target.tls:
        return None
    from twisted.internet.ssl import optionsForClientTLS

    options: IOpenSSLClientConnectionCreator = optionsForClientTLS(target.host)
    return options
