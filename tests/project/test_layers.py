"""Imports go in one direction: a folder imports from the layers below its own, and no others."""

import ast
from pathlib import Path

import pytest

from tests.support.commands import ROOT

LAYERS = {
    "servers": """
        __main__ console
        process
        models registry
        waiting
        counting
        sockets app
        protocol
        limits
    """,
    "loadtest": """
        __main__ console locustfile compose_locustfile
        plugin
        cli
        dashboard
        report
        analysis compare selftest bench
        running
        control
        scenarios
        bundle
        client
        measure
        host
        catalogue limits knobs
    """,
}
"""From the top down; what stands on one line does not import from the others there."""


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("package", LAYERS)
def test_a_layer_imports_only_from_the_layers_below(package: str) -> None:
    depths = {
        name: depth
        for depth, line in enumerate(LAYERS[package].split("\n"))
        for name in line.split()
    }
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        place = path.relative_to(ROOT / package).with_suffix("").parts
        unit = place[0]
        if unit == "__init__":
            continue
        for name in _imports(path):
            root, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            known = root == package and other in depths and other != unit
            if known and depths[unit] >= depths[other]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


SHARED = {
    "servers.__version__",
    "servers.registry",
    "servers.sockets.kernel.die_with_parent",  # prctl(2), which Python has no function for
}
"""All that the load may import from the servers: they are measured from outside."""


def test_the_two_packages_share_a_short_list_of_names() -> None:
    servers = {name for path in (ROOT / "servers").rglob("*.py") for name in _imports(path)}
    assert [name for name in servers if name.partition(".")[0] == "loadtest"] == []
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "loadtest").rglob("*.py"))
        for name in _imports(path)
        if name.partition(".")[0] == "servers"
        if not any(f"{shared}.".startswith(f"{name}.") for shared in SHARED)  # or its module
        if not name.startswith("servers.registry.")
    ]
    assert wrong == []


RESULTS = ("analysis", "report", "dashboard")
TOOLS = ("bench", "selftest", "running")


def test_results_reach_a_tools_bundle_through_its_record_module_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in RESULTS
        for path in sorted((ROOT / "loadtest" / folder).rglob("*.py"))
        for name in _imports(path)
        if name.startswith(tuple(f"loadtest.{tool}." for tool in TOOLS))
        if name.split(".")[2] not in ("record", "progress")  # and a progress bar
    ]
    assert wrong == []
