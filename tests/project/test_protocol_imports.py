"""The protocol imports nothing that waits or does I/O, not even through another module."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT

PURE = {"collections.abc", "dataclasses", "enum", "httptools", "ipaddress", "re", "typing"}
"""All that ``servers.protocol`` may import from outside: no clock, lock, socket, loop or file."""


def _module_path(root: Path, name: str) -> Path | None:
    """Return the file of a module of the project, or None for any other name."""
    path = root.joinpath(*name.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _impure_chains(root: Path) -> Iterator[str]:
    """Yield how the protocol comes to import a module that is not pure, as "a -> b -> time"."""
    chains: list[tuple[str, ...]] = [
        (".".join(path.relative_to(root).with_suffix("").parts),)
        for path in sorted((root / "servers/protocol").glob("*.py"))
    ]
    followed = {chain[-1] for chain in chains}
    while chains:
        chain = chains.pop()
        path = _module_path(root, chain[-1])
        if path is None:
            yield " -> ".join(chain)
            continue
        for name in sorted(_imported_modules(root, path) - PURE - followed):
            followed.add(name)
            chains.append((*chain, name))


def _imported_modules(root: Path, path: Path) -> set[str]:
    """Return the modules that a file imports, and the packages they lie in."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            modules.add(node.module)
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules |= {name for name in names if _module_path(root, name)}
    for name in [name for name in modules if name.startswith("servers.")]:
        parts = name.split(".")
        modules |= {".".join(parts[:depth]) for depth in range(1, len(parts))}
    return modules


def test_the_protocol_imports_no_clock_lock_socket_or_loop_however_far_away() -> None:
    assert list(_impure_chains(ROOT)) == []


@pytest.mark.parametrize(
    "statement", ["import time", "from threading import Lock", "def f():\n    import socket"]
)
def test_an_impure_import_two_modules_away_from_the_protocol_is_found(
    tmp_path: Path, statement: str
) -> None:
    shutil.copytree(ROOT / "servers", tmp_path / "servers")
    (tmp_path / "servers/helper.py").write_text("from servers import helper_of_helper\n")
    (tmp_path / "servers/helper_of_helper.py").write_text(statement)
    target = tmp_path / "servers/protocol/target.py"
    target.write_text("import servers.helper\n" + target.read_text("utf-8"))
    (chain,) = _impure_chains(tmp_path)
    module = statement.split()[-1 if statement.endswith(("time", "socket")) else 1]
    assert (
        chain
        == f"servers.protocol.target -> servers.helper -> servers.helper_of_helper -> {module}"
    )
