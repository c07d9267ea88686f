"""One request that was lost, or carried out other than once."""

import attrs

from proxyreload.history.events import Exchange
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate


@attrs.frozen(eq=False)
class Loss:
    """What is told of it, in ``losses.csv`` and wherever losses are shown."""

    request_id: str
    kind: str
    fate: Fate | None  #: None: nobody knows, for the backends are somebody else's
    cause: Cause
    evidence: str  #: what the cause was told from
    at_ns: int  #: when its client knew, or when it was carried out again
    change: int = 0  #: the number of the change that it is charged to, 0 if there was none before it
    change_ns: int = 0  #: when that was requested
    formerly: Fate | None = None  #: what it was told to be before, of one that had been settled
    exchange: Exchange | None = None  #: None: it had been settled, or there never was one
    charged_ns: int = 0  #: of one that was carried out again: by when its answer is charged; 0: that is forgotten
    rested_ns: int = 0  #: how long its connection had rested before
    generation: int | None = None  #: of the proxy's processes that held its connection, None where it is not known
