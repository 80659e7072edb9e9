"""A report: one self-contained file, and the same in Markdown."""

import json
import random
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from loadtest.analysis.metrics import METRICS
from loadtest.bundle.plan import CellPlan, Matrix
from loadtest.bundle.read import read_bundle
from loadtest.report import style, svg
from loadtest.report.page import Page
from loadtest.report.style import looks
from servers.registry import MODELS
from tests.support.bundles import Cell, make_bundle, matrix, noisy
from tests.support.commands import run

REPORT = [sys.executable, "-m", "loadtest", "report"]
HOSTILE = "<script>alert(1)</script><b>&amp;" + "x" * 10_000
PLOTLY_MARK = "plotly.js v"


def everything() -> Matrix:
    """Return a matrix with every kind of cell."""
    return matrix(
        scenarios=["hello", "cpu"], connections=[1, 4, 16, 64, 200], loads=["rate", "flat-out"],
        shares=[25, 75],
    )  # fmt: skip


def cell_of(cell: CellPlan) -> Cell | None:
    rng = random.Random(cell.name)
    if cell.load == "flat-out":
        n = cell.connections
        return noisy(Cell(rate_hz=100 * n / (1 + 0.9 * (n - 1)), server_busy=0.97), rng)
    return noisy(Cell(generator_busy=0.9 if cell.connections == 4 else 0.3), rng)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("results") / "run", everything(), cell_of)


@pytest.fixture(scope="module")
def page(bundle: Path) -> Page:
    return Page({"run": read_bundle(bundle)})


def charts_of(page: Page) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name in page.parts():
        for chart in json.loads(page.part(name))["charts"]:
            found.setdefault(chart["name"], []).append(chart)
    return found


def test_a_report_has_every_kind_of_chart(page: Page) -> None:
    assert charts_of(page).keys() == {
        "overview", "throughput", "latency-connections", "latency-rate", "spectrum", "cpu",
        "memory", "switches", "lanes",
    }  # fmt: skip


def test_every_chart_explains_itself_and_names_the_cores(page: Page) -> None:
    for charts in charts_of(page).values():
        for chart in charts:
            assert len(chart["read"]) > 40 and chart["read"].endswith(".")
            assert chart["circumstances"] == "server on core 0, generator on core 1; 3 × 4 s"


def test_plotly_accepts_every_chart(page: Page) -> None:
    own = {"tall", "height"}  # what the page itself reads
    for charts in charts_of(page).values():
        for chart in charts:
            layout = {key: value for key, value in chart["layout"].items() if key not in own}
            assert go.Figure({"data": chart["traces"], "layout": layout}).data


def test_a_contender_has_one_colour_and_one_mark_on_every_chart(page: Page) -> None:
    colours_of: dict[str, set[str]] = {}
    for charts in charts_of(page).values():
        for trace in (trace for chart in charts for trace in chart["traces"]):
            colour = (trace.get("marker") or {}).get("color") or (trace.get("line") or {}).get(
                "color"
            )
            if colour:
                colours_of.setdefault(trace["meta"]["contender"], set()).add(colour)
    assert {name: len(colours) for name, colours in colours_of.items()} == {
        "asyncio": 1,
        "uvloop": 1,
    }


def test_every_contender_has_its_own_look_and_a_model_keeps_its_look() -> None:
    alone, among = looks(["gevent"]), looks([*MODELS, "mine", "yours", "theirs"])
    assert alone["gevent"] == among["gevent"]
    assert len({look.colour for look in among.values()}) == len(among)
    assert len({look.symbol for look in among.values()}) == len(among)


def test_a_model_that_joins_the_registry_takes_a_look_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = looks(MODELS)
    monkeypatch.setattr(style, "MODELS", [*MODELS, "newcomer"])
    after = looks([*MODELS, "newcomer", "mine", "yours"])
    assert before.items() < after.items()
    assert len({look.colour for look in after.values()}) == len(after)
    assert len({look.symbol for look in after.values()}) == len(after)


def test_the_readmes_chart_draws_every_mark_of_the_palette_differently() -> None:
    shapes = {svg._mark(look.symbol, "#000000", 0, 0, 5, "") for look in style._PALETTE}
    assert len(shapes) == len(style._PALETTE)


def test_shortened_names_stay_different(bundle: Path) -> None:
    long = "a" * 60
    page = Page({f"{long}1": read_bundle(bundle), f"{long}2": read_bundle(bundle)})
    labels = {page.builder.label("uvloop", run) for run in page.groups.bundles}
    assert len(labels) == 2 and all(len(label) < 60 for label in labels)


def test_a_chart_names_servers_that_the_run_did_not_start(tmp_path: Path) -> None:
    wanted = matrix(targets={"mine": "http://127.0.0.1:9000"})
    page = Page({"run": read_bundle(make_bundle(tmp_path / "run", wanted, cell_of))})
    assert page.builder.circumstances().endswith("not started by us, cores unknown: mine")


def test_a_generator_bound_cell_is_a_cross_beside_the_lines(page: Page) -> None:
    chart = charts_of(page)["latency-connections"][0]
    lines = [trace for trace in chart["traces"] if "lines" in trace["mode"]]
    struck = [trace for trace in chart["traces"] if trace["mode"] == "markers"]
    assert lines and all(4 not in trace["x"] for trace in lines)
    assert struck and all(trace["x"] == [4] for trace in struck)
    assert {text for trace in struck for text in trace["text"]} == {"generator-bound"}
    assert "<s>" in page.served


def test_a_computed_throughput_is_called_projected(page: Page) -> None:
    titles = {chart["title"] for chart in charts_of(page)["throughput"]}
    assert titles == {"Throughput of one core, projected", "Throughput against connections"}


def test_a_fitted_scalability_law_is_drawn(page: Page) -> None:
    (chart,) = (c for c in charts_of(page)["throughput"] if "projected" not in c["title"])
    assert any(trace["meta"]["more"] == "fitted (USL)" for trace in chart["traces"])
    assert all(re.search(r"contention σ 0\.[89]", note) for note in chart["notes"])


def test_the_spectrum_has_latency_and_service_time(page: Page) -> None:
    more = {trace["meta"]["more"] for c in charts_of(page)["spectrum"] for trace in c["traces"]}
    assert {"latency", "service time"} <= more


def test_lanes_of_client_and_server_share_a_time_axis(page: Page) -> None:
    chart = next(c for c in charts_of(page)["lanes"] if ": hello" in c["title"])
    by_lane = {trace.get("yaxis", "y"): trace for trace in chart["traces"]}
    assert by_lane.keys() == {"y", "y2", "y3", "y4"}
    assert by_lane["y"]["type"] == "heatmap"
    assert sum(n for row in by_lane["y"]["z"] for n in row if n) == 2 * 2000  # every request
    assert all("xaxis" not in trace for trace in chart["traces"])


def test_a_truncated_log_costs_only_its_own_line(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "run", matrix(), cell_of)
    log = folder / "hello-1000-rate-uvloop-1" / "latency.hlog"
    log.write_bytes(log.read_bytes()[:-80])
    charts = charts_of(Page({"run": read_bundle(folder)}))["spectrum"]
    (chart,) = (chart for chart in charts if "1,000" in chart["title"])
    assert any("uvloop: expected" in note for note in chart["notes"])
    drawn = {(t["meta"]["contender"], t["meta"]["more"]) for t in chart["traces"]}
    assert drawn == {
        ("asyncio", "latency"), ("asyncio", "service time"), ("uvloop", "service time"),
    }  # fmt: skip


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def test_a_report_is_one_self_contained_file(bundle: Path, tmp_path: Path) -> None:
    ended = run([*REPORT, str(bundle), "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    assert f"report: {tmp_path / 'report.html'}" in ended.stdout
    html = (tmp_path / "report.html").read_text("utf-8")
    links = _Links()
    links.feed(html)
    assert links.found == ["data:,"]
    assert PLOTLY_MARK in html
    assert "default-src 'none'" in html


def test_markdown_has_the_same_sections(bundle: Path, tmp_path: Path) -> None:
    assert run([*REPORT, str(bundle), "--out", str(tmp_path)]).returncode == 0
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "| question | best | next best | significant? |" in text
    assert "## When to choose which" in text
    assert "no detectable difference" in text


def test_a_moved_bundle_can_be_drawn_again(bundle: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    bundle.rename(moved)
    try:
        ended = run([*REPORT, str(moved)])
        assert ended.returncode == 0, ended.stderr
        assert (moved / "report.html").exists()
    finally:
        moved.rename(bundle)


def test_several_bundles_are_drawn_side_by_side(bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", everything(), cell_of, commit="fedcba9876543210")
    ended = run([*REPORT, str(bundle), str(other), "--out", str(tmp_path / "both")])
    assert ended.returncode == 0, ended.stderr
    html = (tmp_path / "both" / "report.html").read_text("utf-8")
    assert "uvloop · run" in html and "uvloop · other" in html
    assert "fedcba987654" in html


def test_different_runs_are_refused_without_allow_different(bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", matrix(duration_s=9.0), cell_of)
    argv = [*REPORT, str(bundle), str(other), "--out", str(tmp_path / "both")]
    ended = run(argv)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "expected runs under the same conditions, got different scenarios" in ended.stderr
    for flag in ("--allow-different", "--anyway"):  # the second is the flag's old name
        assert run([*argv, flag]).returncode == 0


def test_a_broken_bundle_does_not_hide_the_others(bundle: Path, tmp_path: Path) -> None:
    broken = make_bundle(tmp_path / "broken", everything(), cell_of)
    (broken / "run.json").write_text("{")
    ended = run([*REPORT, str(bundle), str(broken), "--out", str(tmp_path / "out")])
    assert ended.returncode == 2
    assert "expected" in ended.stderr and "run.json" in ended.stderr
    assert "run.json" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_folder_without_a_bundle_is_a_usage_error(tmp_path: Path) -> None:
    ended = run([*REPORT, str(tmp_path)])
    assert ended.returncode == 2
    assert "expected the folder of a comparison, got" in ended.stderr


@pytest.mark.parametrize(("cost", "status", "word"), [(100, 0, "passed"), (150, 1, "FAILED")])
def test_the_gate_reports_by_its_exit_status(
    tmp_path: Path, cost: int, status: int, word: str
) -> None:
    def costing(cpu_us: float) -> Path:
        rng = random.Random(cpu_us)
        return make_bundle(
            tmp_path / f"{cpu_us}", matrix(), lambda cell: noisy(Cell(cpu_us=cpu_us), rng)
        )

    argv = [*REPORT, str(costing(cost)), "--baseline", str(costing(101))]
    ended = run([*argv, "--fail-if", "uvloop hello cpu +10%"])
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert re.search(rf"^{word}: uvloop hello cpu \+10%", ended.stdout, re.MULTILINE)


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    folder = make_bundle(
        tmp_path / "run", matrix(), cell_of, cpu=HOSTILE, commit=HOSTILE, command=[HOSTILE],
        versions={HOSTILE: HOSTILE},
    )  # fmt: skip
    page = Page({HOSTILE: read_bundle(folder)})
    html = page.served
    assert "<script>alert" not in html
    assert "x" * 1000 not in re.sub(r'(value|data-run)="[^"]*"|<script type="app.*', "", html)


def test_every_metric_has_a_unit_and_a_phrase_for_a_ratio() -> None:
    for metric in METRICS.values():
        assert "{}" in metric.ratio_phrase
        assert metric.unit or metric.name == "switches"
