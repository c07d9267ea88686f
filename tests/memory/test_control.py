"""The proxy that injects faults."""

from types import SimpleNamespace
from typing import cast

import pytest

from proxyreload.proxy.workspace import Workspace
from proxyreload_control import KINDS, Faults


def plan(seed: int) -> list[str]:
    """Return the faults that are drawn from `seed`, in their order."""
    return list(Faults(cast(Workspace, SimpleNamespace(seed=seed)))._plan)


def test_the_same_seed_draws_the_same_faults() -> None:
    assert plan(7) == plan(7)


def test_another_seed_draws_others() -> None:
    assert plan(7) != plan(8)
    assert sorted(plan(7)) != sorted(plan(8))


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_fault_is_drawn(seed: int) -> None:
    assert set(plan(seed)) == set(KINDS)
