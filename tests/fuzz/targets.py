"""All that is fed, by name."""

from .http2 import HTTP2_ANSWERS, HTTP2_REQUESTS
from .losses import LOSSES
from .streams import ANSWERS, FRAMES, REQUESTS
from .texts import BODIES, COMPARISONS, EDITIONS, RECORDS, ROWS, SCENARIOS

_ALL = (
    ANSWERS,
    REQUESTS,
    HTTP2_ANSWERS,
    HTTP2_REQUESTS,
    FRAMES,
    SCENARIOS,
    BODIES,
    RECORDS,
    ROWS,
    COMPARISONS,
    LOSSES,
    EDITIONS,
)
TARGETS = {target.name: target for target in _ALL}
