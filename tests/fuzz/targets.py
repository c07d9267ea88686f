"""All that is fed, by name."""

from .losses import LOSSES
from .streams import ANSWERS, REQUESTS
from .texts import BODIES, COMPARISONS, RECORDS, ROWS, SCENARIOS

TARGETS = {target.name: target for target in (ANSWERS, REQUESTS, SCENARIOS, BODIES, RECORDS, ROWS, COMPARISONS, LOSSES)}
