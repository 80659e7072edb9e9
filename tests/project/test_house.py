"""What the project promises about itself: its size, its limits, its README."""

import ast
import json
import re
from pathlib import Path

import pytest

from loadtest.bench.contestants import COMPARISONS
from loadtest.bench.cost import Run, ratio
from loadtest.bench.fresh import Fresh
from loadtest.bench.generators import Sent
from loadtest.bench.generators import ratio as generator_ratio
from loadtest.bench.holding import Holding
from loadtest.report import readme
from servers.registry import MODELS, module_of

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(
    path for folder in ("servers", "loadtest", "tests") for path in (ROOT / folder).rglob("*.py")
)
README = (ROOT / "README.md").read_text("utf-8")
NUMBERS = (ROOT / "docs" / "numbers.md").read_text("utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_fits_one_screen(name: str) -> None:
    module = module_of(name).replace(".", "/")
    assert len((ROOT / f"{module}.py").read_text("utf-8").splitlines()) <= 70


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 300


@pytest.mark.parametrize(
    "module",
    ["connection", "echo", "http11", "head", "body", "messages", "request_line", "target"],
)
def test_what_is_said_does_not_know_how_it_is_sent(module: str) -> None:
    tree = ast.parse((ROOT / "servers" / "protocol" / f"{module}.py").read_text("utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"socket", "select", "time", "threading", "asyncio", "gevent", "signal"}


def test_the_readmes_table_names_every_model() -> None:
    assert re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)[: len(MODELS)] == list(MODELS)


def test_the_readmes_count_of_conversations_is_right() -> None:
    count = len([*(ROOT / "tests" / "corpus").glob("*.txt")])
    assert f"-->{count} conversations" in README


def test_the_figures_of_numbers_md_are_those_of_the_stored_run() -> None:
    stored = json.loads((ROOT / "loadtest/bench/reference/bench.json").read_text("utf-8"))
    runs = [Run(**run) for run in stored["runs"]]
    lines = []
    for pair in COMPARISONS:
        spread = ratio(runs, pair)
        assert spread is not None
        lines.append(
            f"| `{pair.model}` | {pair.peer} |"
            f" {spread.median:.2f} ({spread.low:.2f} - {spread.high:.2f}) |"
        )
    for fields in stored["holdings"]:
        held = Holding(**{**fields, "fresh": Fresh(**fields["fresh"])})
        assert held.answered_twice == 10_000 and not held.failures()
        lines.append(
            f"| `{held.model}` | {held.accept_s:.1f} s | {held.memory_kb:.1f} KB |"
            f" {held.idle_share:.1%} |"
        )
    assert [line for line in lines if f"\n{line}\n" not in NUMBERS] == []
    spread = generator_ratio([Sent(**sent) for sent in stored["sent"]])
    assert spread is not None
    said = f"{spread.median:.1f} ({spread.low:.1f} - {spread.high:.1f})"
    assert f"ours / `FastHttpUser`: {said}." in NUMBERS


def test_the_readmes_comparison_is_that_of_the_stored_run() -> None:
    page = readme.stored_page()
    assert readme.generated(readme.README) == readme.summary(page)
    assert readme.generated(readme.COMPARISON) == readme.block(page)
    assert readme.CHART.read_text("utf-8") == readme.chart_of(page)


@pytest.mark.parametrize(
    "name", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_a_documents_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / link).exists(), link


@pytest.mark.xdist_group("house")
def test_what_is_marked_to_share_a_worker_does(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("one process, or no --dist loadgroup")
    assert request.node.nodeid.endswith("@house")
