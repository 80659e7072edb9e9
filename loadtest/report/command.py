"""python -m loadtest report: draw bundles again, anywhere."""

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.table import Table
from rich.text import Text

from loadtest import fitting, terminal
from loadtest.analysis.bundle import Bundle, BundleError, read_bundle
from loadtest.analysis.findings import Finding
from loadtest.analysis.likeness import refuse_unlike
from loadtest.files import write_whole
from loadtest.machine import shown
from loadtest.progress import new_progress
from loadtest.report import words
from loadtest.report.markdown import markdown
from loadtest.report.page import Page, as_json

HTML, MARKDOWN = "report.html", "report.md"


def read_all(folders: Iterable[Path]) -> tuple[dict[str, Bundle], list[str]]:
    """Return the bundles in some folders by their names, and what could not be read."""
    bundles: dict[str, Bundle] = {}
    problems = []
    for folder in folders:
        try:
            bundle = read_bundle(folder)
        except BundleError as error:  # the others are as good as before
            problems.append(str(error))
            continue
        name, count = bundle.id, 1
        while name in bundles:
            count += 1
            name = f"{bundle.id} ({count})"
        bundles[name] = bundle
    return bundles, problems


def asset(name: str) -> str:
    """Return one of the page's own files."""
    return (resources.files("loadtest.report") / "assets" / name).read_text(encoding="utf-8")


def write_report(page: Page, folder: Path) -> Path:
    """Write a page into a folder as one file that needs nothing else, and as Markdown."""
    with new_progress() as progress:
        parts = [
            (name, as_json(page.part(name)))
            for name in progress.track([*page.parts()], description="drawing")
        ]
    html = page.html(
        inline=True,
        css=Markup(asset("page.css")),  # noqa: S704  # our own
        js=Markup(asset("page.js")),  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704  # Plotly's
        parts=parts,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / HTML
    write_whole(path, html)
    write_whole(folder / MARKDOWN, markdown(page))
    return path


def report(folders: Sequence[Path], out: Path, anyway: bool) -> int:
    """Draw bundles side by side; return the exit status: 0, or 1 where there is nothing to draw.

    Raises:
        BundleError: None can be read, or they are unlike.
    """
    bundles, problems = read_all(folders)
    if not bundles:
        raise BundleError(problems[0])
    if not anyway:
        refuse_unlike([*bundles.values()])
    page = Page(bundles, problems)
    path = write_report(page, out)
    for problem in page.problems:
        terminal.say(terminal.console(stderr=True), problem)
    show(page)
    _say_where(path)
    return 1 if problems else 0


def after_run(folder: Path) -> None:
    """Draw what a comparison has measured, and print who won what."""
    try:
        bundle = read_bundle(folder)
    except BundleError:  # it was ended before there was a plan
        return
    page = Page({bundle.id: bundle})
    terminal.say(terminal.console(), f"raw results: {shown(folder)}")
    if bundle.cells:
        path = write_report(page, folder)
        show(page)
        _say_where(path)


def _say_where(path: Path) -> None:
    said = f"report: {shown(path)} (one file; open it in a browser, anywhere)"
    terminal.say(terminal.console(), said)


def show(page: Page) -> None:
    """Print who won what."""
    console = terminal.console()
    table = Table(show_lines=True)
    for name in ("question", "best", "next best", "is it real?"):
        table.add_column(name)
    for finding in page.findings:
        table.add_row(
            f"{finding.question.title}\n{words.conditions(finding)}",
            f"{words.winners(page.pen, finding)}\n{words.best_value(finding)}",
            _next_best(page, finding),
            words.real(finding),
        )
    if page.findings:
        fitting.show(console, table)
    else:
        terminal.say(console, "no two contenders could be ranked")


def _next_best(page: Page, finding: Finding) -> Text:
    """Return the next best, and below it, struck through, what could not be ranked."""
    text = Text(words.next_best(page.pen, finding) or "–")
    for name, why in words.struck(page.pen, finding):
        text.append("\nnot ranked: ").append(name, style="strike").append(f" {why}")
    return text
