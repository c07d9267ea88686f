"""The architecture as it is imported: no room, and no file, depends on itself through others."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import proxyreload

PACKAGE = Path(proxyreload.__file__).parent
#: No verdict depends on how it came about, and those who show meet no proxy.
MAY_IMPORT = {
    "schemas": set(),
    "system": set(),
    "history": {"system"},
    "http2": {"system"},
    "websocket": set(),
    "traffic": {"history", "system", "websocket"},
    "ledger": {"history", "system", "traffic"},
    "verdict": {"history", "ledger", "system"},
    "otel": {"history", "job", "ledger", "plan", "record", "system", "verdict"},
    "site": {"comparison", "explanation", "ledger", "record", "report", "schemas", "sources", "system"},
    "capacity": {"bisection", "comparison", "history", "plan", "proxy", "run", "system", "verdict"},
    "terminal": {"history", "ledger", "record", "system", "verdict"},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules that one imports, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & known or {node.module} & known
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
    return found


def files() -> Mapping[str, set[str]]:
    trees = dict(modules())
    return {name: imported(tree, set(trees)) - {name} for name, tree in trees.items()}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def rooms() -> Mapping[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for name, others in files().items():
        graph.setdefault(room_of(name), set()).update(room_of(other) for other in others)
    return {room: others - {room, ""} for room, others in graph.items() if room}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_in_a_circle() -> None:
    assert circle(files()) == []


def test_no_room_imports_in_a_circle() -> None:
    assert circle(rooms()) == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_these_rooms_know_no_others(room: str) -> None:
    assert rooms()[room] <= MAY_IMPORT[room]


def test_no_two_modules_have_one_name_but_where_they_are_the_same_thing() -> None:
    #: A role is declared in each room; both ends speak HTTP/1.1 and HTTP/2; a registry finds plugins, or kinds; a
    #: command has the name of what it starts.
    same = {"__init__", "interfaces", "http11", "http2", "backend", "report", "selftest", "compare", "registry"}
    same.add("traffic")
    names = [path.stem for path in PACKAGE.rglob("*.py") if path.stem not in same]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_the_core_names_no_proxy() -> None:
    places = (PACKAGE.parent, PACKAGE.parent / "plugins")  # installed, and in a checkout
    plugins = {path.stem.split("_")[1] for place in places for path in place.glob("proxyreload_*.py")}
    plugins -= {"control", "external"}
    assert "haproxy" in plugins
    named = {
        f"{path.relative_to(PACKAGE)}: {plugin}"
        for path in PACKAGE.rglob("*.py")
        for plugin in plugins
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.alias) and plugin in (getattr(node, "id", "") or getattr(node, "name", ""))
    }
    assert named == set()
