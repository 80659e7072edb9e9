"""Report and dashboard in a real browser, offline: display, choice and download."""

import csv
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from loadtest.analysis.metrics import METRICS
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import read_bundle
from loadtest.bundle.state import FINISHED, RUNNING, State
from loadtest.report.command import write_report
from loadtest.report.page import Page
from servers.registry import MODELS
from tests.support.browser import CHROMIUM, TIMEOUT_MS, chromium, data_of, opened, redrawn
from tests.support.bundles import Cell, make_bundle, matrix, noisy, write
from tests.support.commands import started

pytestmark = [
    pytest.mark.whole_machine,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
FORKING = "input[name=contender][value=forking]"
HOSTILE = "<img src=http://evil.example/x onerror=alert(1)><script>alert(1)</script>"
CPU_US = {"forking": 180.0, "threaded": 120.0, "gevent": 115.0, "asyncio": 100.0, "uvloop": 60.0}
ALL = matrix(
    models=[*MODELS], scenarios=["hello", "wait", "connect", "cpu"], connections=[10, 100],
    loads=["rate", "flat-out"],
)  # fmt: skip


def cell_of(cell: CellPlan) -> Cell:
    cpu_us, rng = CPU_US.get(cell.contender, 200.0), random.Random(cell.name)
    if cell.load == "flat-out":
        return noisy(Cell(cpu_us=cpu_us, rate_hz=1e5 / cpu_us, server_busy=0.97), rng)
    bound = cell.contender == "gevent" and cell.scenario == "hello"
    return noisy(
        Cell(cpu_us=cpu_us, latency_ms=cpu_us / 50, generator_busy=0.9 if bound else 0.3), rng
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    make_bundle(out / "one", ALL, cell_of)
    make_bundle(out / "other", ALL, cell_of, commit="fedcba9876543210")
    return out


@pytest.fixture(scope="module")
def report(results: Path) -> str:
    path = write_report(Page({"one": read_bundle(results / "one")}), results / "one")
    return path.as_uri()


@pytest.fixture(scope="module")
def dashboard(results: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "loadtest", "dashboard", "--results", str(results), "--port", "0"]
    with started(argv) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("dashboard: ").strip()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def test_a_report_works_offline_and_requests_nothing(browser: Browser, report: str) -> None:
    with opened(browser, report, offline=True) as (page, requested):
        for chart in ("overview", "latency-connections", "spectrum", "cpu", "memory", "lanes"):
            assert data_of(page, chart)
        assert requested.hosts == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_results_and_their_significance_are_visible_without_scrolling(
    browser: Browser, report: str, scheme: str
) -> None:
    with opened(browser, report, color_scheme=scheme) as (page, _):
        box = page.locator("#headline table.headline").bounding_box()
        assert box is not None and box["y"] + box["height"] < 800
        first = page.locator("#headline tbody tr").first.inner_text()
        assert "Small requests: CPU per request" in first
        assert "uvloop" in first and "asyncio uses 1." in first
        assert "gevent" in first and "yes, among ranked contenders (noise" in first
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")


def test_charts_show_the_values_of_the_bundle(browser: Browser, report: str, results: Path) -> None:
    cells = read_bundle(results / "one").cells
    with opened(browser, report) as (page, _):
        shown: dict[str, float] = {}
        for trace in data_of(page, "cpu"):
            if trace["type"] == "bar":
                name = trace["meta"]["contender"]
                shown[name] = shown.get(name, 0.0) + trace["y"][0]
        for name in MODELS:
            values = sorted(
                METRICS["cpu"].value_of(result) or 0.0
                for cell, result in cells.items()
                if (cell.scenario, cell.connections, cell.load) == ("hello", 100, "rate")
                and cell.contender == name
                and not cell.twin
            )
            assert shown[name] == pytest.approx(values[1], rel=0.02)


def test_contenders_can_be_hidden_and_shown_again(browser: Browser, report: str) -> None:
    with opened(browser, report) as (page, _):
        assert {trace["meta"]["contender"] for trace in data_of(page, "cpu")} == {*MODELS}
        with redrawn(page):
            page.locator(FORKING).uncheck()
        assert "forking" not in {trace["meta"]["contender"] for trace in data_of(page, "cpu")}
        page.locator("#verdicts summary").first.click()
        assert page.locator("#verdicts tr[data-contender=uvloop]").first.is_visible()
        assert not page.locator("#verdicts tr[data-contender=forking]").first.is_visible()
        with redrawn(page):
            page.locator(FORKING).check()
        assert "forking" in {trace["meta"]["contender"] for trace in data_of(page, "cpu")}


def test_the_choice_of_scenario_and_connections_is_in_the_address(
    browser: Browser, report: str
) -> None:
    with opened(browser, report) as (page, _):
        page.get_by_label("scenario").select_option("connect")
        page.get_by_label("connections, load").select_option("10 flat-out")
        page.wait_for_selector("#chart-cpu h3:has-text('connect, 10 connections, flat out')")
        shared = page.url
    with opened(browser, shared) as (page, _):
        page.wait_for_selector("#chart-cpu h3:has-text('connect, 10 connections, flat out')")


def test_a_generator_bound_figure_is_struck_through(browser: Browser, report: str) -> None:
    with opened(browser, report) as (page, _):
        page.locator("#headline summary").first.click()
        row = page.locator("#headline .ranking tr[data-contender=gevent]").first
        assert row.locator("s").count() == 1
        assert (
            "not ranked: generator-bound: a process of the generator used 90%" in row.inner_text()
        )
        for word in ("60.3", "(58.4"):  # in one line each, however narrow the column
            found = page.locator("#headline .ranking tr[data-contender=uvloop]").first.evaluate(
                """(row, word) => {
                    const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
                    while (walker.nextNode()) {
                        const at = walker.currentNode.data.indexOf(word);
                        if (at < 0) continue;
                        const range = document.createRange();
                        range.setStart(walker.currentNode, at);
                        range.setEnd(walker.currentNode, at + word.length);
                        return range.getClientRects().length;
                    }
                    return 0;
                }""",
                word,
            )
            assert found == 1, word


def test_the_keyboard_reaches_every_control(browser: Browser, report: str) -> None:
    with opened(browser, report) as (page, _):
        page.wait_for_selector("#chart-overview")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "theme"
        page.keyboard.press("Enter")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the first question opens
        assert page.locator("#headline .ranking").first.is_visible()
        page.get_by_label("scenario").focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#chart-cpu h3:has-text('wait')")
        page.locator(FORKING).focus()
        page.keyboard.press("Space")
        assert not page.locator(FORKING).is_checked()
        page.get_by_role("button", name=re.compile("CPU time.*CSV")).focus()
        with page.expect_download():
            page.keyboard.press("Enter")


@pytest.mark.parametrize("chart", ["overview", "throughput", "latency-connections", "lanes"])
def test_every_charts_numbers_can_be_downloaded(
    browser: Browser, report: str, tmp_path: Path, chart: str
) -> None:
    with opened(browser, f"{report}#scenario=wait") as (page, _):
        traces = data_of(page, chart)
        with page.expect_download() as download:
            page.locator(f"#chart-{chart} button.csv").click()
        path = tmp_path / "chart.csv"
        download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    assert names[:3] == ["series", "contender", "run"]
    assert all(len(row) == len(names) for row in rows)
    drawn = sum(len(trace["x"]) for trace in traces if trace["type"] != "heatmap")
    assert len(rows) >= drawn > 0
    first = next(trace for trace in traces if trace["type"] != "heatmap")
    assert any(row[1] == first["meta"]["contender"] for row in rows)
    assert str(first["y"][0]).split("<br>")[0] in "\n".join(row[4] for row in rows)


def test_it_fits_a_phone(browser: Browser, report: str) -> None:
    phone = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
    with opened(browser, report, **phone) as (page, _):
        assert data_of(page, "cpu")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_hostile_names_are_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    folder = make_bundle(
        tmp_path / "run", matrix(), cell_of, cpu=HOSTILE, commit=HOSTILE,
        command=[HOSTILE + "y" * 10_000], versions={"python": HOSTILE},
    )  # fmt: skip
    page = Page({HOSTILE: read_bundle(folder), "other": read_bundle(folder)})
    path = write_report(page, tmp_path / "out")
    with opened(browser, path.as_uri()) as (shown, requested):
        dialogs: list[str] = []
        shown.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for chart in ("overview", "cpu", "spectrum", "lanes"):
            assert data_of(shown, chart)
        assert shown.locator("img, #runs script, #circumstances script").count() == 0
        assert HOSTILE in shown.locator("#circumstances").inner_text()
        assert dialogs == []
        assert requested.hosts == set()
        assert shown.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_dashboard_shows_selected_runs_side_by_side(browser: Browser, dashboard: str) -> None:
    with opened(browser, dashboard) as (page, requested):
        page.get_by_label("one", exact=True).check()
        page.get_by_label("other", exact=True).check()
        page.get_by_role("button", name="show selected runs").click()
        names = {trace["name"] for trace in data_of(page, "cpu")}
        assert {"uvloop · one", "uvloop · other"} <= names
        with redrawn(page):
            page.locator("input[name=run][value=other]").uncheck()
        assert {trace["meta"]["run"] for trace in data_of(page, "cpu")} == {"one"}
        assert requested.hosts == {dashboard.split("/")[2]}


def test_a_page_grows_while_its_run_goes_on(
    browser: Browser, dashboard: str, results: Path
) -> None:
    wanted = matrix(models=["asyncio", "uvloop"])
    cells = wanted.cells()
    live = make_bundle(results / "live", wanted, lambda cell: None, state=RUNNING)
    with opened(browser, f"{dashboard}runs?run=live") as (page, _):
        page.wait_for_selector("text=No two contenders have cells to compare yet")
        for cell in cells[: len(cells) // 3]:
            write(live, wanted, cell, cell_of(cell))
        State(RUNNING, done=len(cells) // 3, total=len(cells), left_s=60.0).write(live)
        page.wait_for_selector("text=about 1.0 min left")
        page.wait_for_selector("#headline .no:has-text('unknown: too few valid repeats')")
        assert data_of(page, "cpu")
        for cell in cells[len(cells) // 3 :]:
            write(live, wanted, cell, cell_of(cell))
        State(FINISHED, done=len(cells), total=len(cells)).write(live)
        page.wait_for_selector("#headline .yes:has-text('yes (noise')")
        assert page.locator("#runs [role=status]").count() == 0


def test_the_theme_is_remembered(browser: Browser, dashboard: str) -> None:
    context = browser.new_context(color_scheme="light")
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{dashboard}runs?run=one")
    page.locator("#theme").click()
    page.reload()
    page.wait_for_selector("#chart-overview")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    context.close()
