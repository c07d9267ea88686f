"""How a proxy takes leave of an HTTP/2 connection."""

import attrs


@attrs.frozen
class Parting:
    """A GOAWAY (RFC 9113, 6.8), with what it meant for the streams that were open."""

    last_stream: int
    code: str  #: its name
    open: int  #: streams under way, those that it turns away not counted
    turned_away: int  #: streams above the last one
    debug: str  #: what the proxy says of it, printable and bounded

    @property
    def words(self) -> str:
        """Return ``GOAWAY NO_ERROR, last stream 17``."""
        return f"GOAWAY {self.code}, last stream {self.last_stream}"
