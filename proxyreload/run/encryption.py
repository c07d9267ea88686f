"""What a run needs where its clients speak TLS."""

from typing import TYPE_CHECKING

import attrs

from proxyreload.plan.settings import Settings
from proxyreload.proxy.recipe import HOSTNAME

if TYPE_CHECKING:
    from proxyreload.client.tls import Tickets, Trust
    from proxyreload.proxy.authority import Authority


@attrs.frozen(eq=False)
class Encryption:
    """Whom the clients trust, their sessions, and who signs for the front where it is ours; nothing in the clear."""

    trust: "Trust | None" = None
    tickets: "Tickets | None" = None
    authority: "Authority | None" = None

    @classmethod
    def of(cls, settings: Settings) -> "Encryption":
        """Return what the settings ask for; raises `UsageError` if that cannot be."""
        target = settings.target
        if not target.tls:
            return cls()
        from proxyreload.client.tls import Tickets, tls_options, trusting

        if not settings.tls.front:
            return cls(tls_options(target.host, settings.tls.ca, insecure=settings.tls.insecure), Tickets())
        from proxyreload.proxy.authority import Authority

        authority = Authority((HOSTNAME, target.host))
        return cls(trusting(HOSTNAME, [authority.pem]), Tickets(), authority)
