"""What is run again and again: one contender under one condition."""

import attrs

from proxyreload.comparison.condition import Condition
from proxyreload.comparison.contender import Contender
from proxyreload.plan.settings import Settings


@attrs.frozen
class Cell:
    """One contender under one condition, with the settings of its runs but for their files."""

    contender: Contender
    condition: Condition
    settings: Settings

    @classmethod
    def of(cls, contender: Contender, condition: Condition, common: Settings) -> "Cell":
        """Return it; `common` are the settings of each run."""
        settings = attrs.evolve(
            condition.met(common),
            choice=contender.choice,
            binary=contender.fetched or contender.binary,
            configuration=contender.configuration,
            upgrade_to=contender.usual() if "upgrade" in common.scenario.actions else None,
        )
        return cls(contender, condition, settings)

    @property
    def name(self) -> str:
        """``haproxy:reload (far, killed)``."""
        return label(self.contender.name, self.condition)


def label(name: str, condition: Condition) -> str:
    """Return what a contender is called under a condition."""
    return f"{name} ({condition.name})" if condition.name else name
