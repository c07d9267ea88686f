"""What a plugin tells others to do is what it does itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.registry import choose
from proxyreload.proxy.upstream import Upstream

FRONT, TIMEOUT_S = "127.0.0.1:8080", 77
UPSTREAMS = [Upstream(number, "127.0.0.1", 1030 + number) for number in (0, 3)]
REPRODUCIBLE = [
    "nginx:reload",
    "nginx:reload-min-timeout",
    "haproxy:reload",
    "haproxy:reload-idle",
    "haproxy:reload-redispatch",
    "haproxy:hard",
]


@attrs.define(eq=False)
class Desk:
    """A place to write at, without a folder."""

    folder: Path = Path("/it")
    front: str = FRONT
    idle_timeout_s: int = TIMEOUT_S
    binary: Path = Path("/bin/it")
    written: dict[str, str] = attrs.field(factory=dict)

    def write(self, name: str, text: str) -> None:
        self.written[name] = text


def recipe_of(name: str) -> Recipe:
    recipe = choose(name).mechanism.recipe
    assert recipe is not None
    return recipe


def written_by(name: str, desk: Desk) -> Mapping[str, str]:
    """Return what the plugin writes itself for these backends."""
    proxy = cast(Any, choose(name).mechanism.proxy(cast(Any, desk)))
    if name.startswith("nginx"):
        proxy._upstreams = UPSTREAMS
        proxy._write_config()
    else:
        proxy._write_config({upstream.name: upstream.address for upstream in UPSTREAMS})
    return desk.written


@pytest.mark.parametrize("name", REPRODUCIBLE)
def test_the_configuration_is_what_the_plugin_writes(name: str) -> None:
    desk = Desk()
    here = {file: text.replace(f"{desk.folder}/", "./") for file, text in written_by(name, desk).items()}
    assert recipe_of(name).configured(FRONT, TIMEOUT_S, UPSTREAMS) == here


@pytest.mark.parametrize("name", REPRODUCIBLE)
def test_there_is_one_way_to_reload(name: str) -> None:
    recipe = recipe_of(name)
    assert bool(recipe.signal) != bool(recipe.successor)
    assert recipe.program == name.partition(":")[0]


@pytest.mark.parametrize("name", ["nginx:dns", "nginx:upgrade", "nginx:restart", "haproxy:runtime", "haproxy:restart"])
def test_what_takes_more_than_files_and_signals_has_none(name: str) -> None:
    assert choose(name).mechanism.recipe is None
