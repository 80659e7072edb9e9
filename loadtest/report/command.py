"""python -m loadtest report: draw bundles again, anywhere."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.table import Table
from rich.text import Text

from loadtest.analysis.findings import Finding
from loadtest.analysis.likeness import refuse_unlike
from loadtest.bundle.read import Bundle, BundleError, read_bundle
from loadtest.bundle.record import COMPARE, kind_of
from loadtest.host import tables, terminal
from loadtest.host.files import write_whole
from loadtest.host.machine import host_path, new_folder
from loadtest.report import words
from loadtest.report.figures import figures_table, without_figures
from loadtest.report.markdown import markdown
from loadtest.report.page import Page
from loadtest.report.record_page import show_records, write_records
from loadtest.report.records import read_records
from loadtest.report.templates import as_json, asset
from loadtest.running.progress import new_progress

HTML, MARKDOWN = "report.html", "report.md"


def read_all(folders: Iterable[Path]) -> tuple[dict[str, Bundle], list[str]]:
    """Return the bundles in some folders by name, and why the others cannot be read."""
    bundles: dict[str, Bundle] = {}
    problems = []
    for folder in folders:
        try:
            bundle = read_bundle(folder)
        except BundleError as error:  # one broken bundle does not hide the others
            problems.append(str(error))
            continue
        name, count = bundle.id, 1
        while name in bundles:
            count += 1
            name = f"{bundle.id} ({count})"
        bundles[name] = bundle
    return bundles, problems


def write_report(page: Page, folder: Path) -> Path:
    """Write a page into a folder as one self-contained file, and as Markdown."""
    with new_progress() as progress:
        parts = [
            (name, as_json(page.part(name)))
            for name in progress.track([*page.parts()], description="drawing")
        ]
    html = page.html(
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


def report(folders: Sequence[Path], out: Path | None, allow_different: bool) -> int:
    """Draw bundles side by side.

    Returns:
        The exit status: 0; 1 if no cell has a figure; 2 if one of several bundles is missing or
        cannot be read: the others are drawn.

    Args:
        out: The folder to write to; None: the bundle, or for several bundles, whose own reports
            stay, a new folder beside the last.

    Raises:
        BundleError: None can be read, or they differ in conditions.
    """
    if kinds := {kind_of(folder) for folder in folders} - {COMPARE, ""}:
        return _report_records(folders, out, kinds)
    bundles, problems = read_all(folders)
    if not bundles:
        raise BundleError(problems[0])
    if not allow_different:
        refuse_unlike([*bundles.values()])
    page = Page(bundles, problems)
    path = write_report(page, out or place_for(folders))
    for problem in page.problems:
        terminal.print_line(terminal.console(stderr=True), problem)
    status = show(page)
    _say_where(path)
    return 2 if problems else status


def _report_records(folders: Sequence[Path], out: Path | None, kinds: Collection[str]) -> int:
    """Draw bundles that are no comparison; return the exit status as ``report``."""
    if comparisons := [folder for folder in folders if kind_of(folder) == COMPARE]:
        raise BundleError(
            f"expected comparisons only, or none, got {comparisons[0]} beside a bundle of"
            f" {', '.join(sorted(kinds))}; draw each by itself"
        )
    records, problems = read_records(folders)
    place = out or place_for(folders)
    path = write_records(records, problems, place, asset("page.css"), (HTML, MARKDOWN))
    for problem in problems:
        terminal.print_line(terminal.console(stderr=True), problem)
    show_records(records)
    _say_where(path)
    return 2 if problems else int(not any(record.contents.has_figure for record in records))


def place_for(folders: Sequence[Path]) -> Path:
    """Return the default folder of a report."""
    last = folders[-1]
    return last if len(folders) == 1 else new_folder(last.absolute().parent, "-report")


def after_run(folder: Path) -> int:
    """Draw a comparison that has just ended, and print its results.

    Returns:
        The exit status: 0, or 1 if no cell has a figure.
    """
    try:
        bundle = read_bundle(folder)
    except BundleError:  # it ended before it had a plan
        return 0
    page = Page({bundle.id: bundle})
    terminal.print_line(terminal.console(), f"raw results: {host_path(folder)}")
    if not bundle.cells:  # the reason has been printed
        return 0
    path = write_report(page, folder)
    status = show(page)
    _say_where(path)
    return status


def _say_where(path: Path) -> None:
    line = f"report: {host_path(path)} (one file; any browser opens it, also offline)"
    terminal.print_line(terminal.console(), line)


def show(page: Page) -> int:
    """Print the results, or the figures where there is nothing to compare.

    Returns:
        The exit status: 0, or 1 if no cell has a figure.
    """
    console = terminal.console()
    if page.findings:
        tables.print_tables(console, _headline(page))
    else:
        tables.print_tables(console, figures_table(page))
    if why := without_figures(page):
        terminal.print_line(console, why)
    return 1 if why else 0


def _headline(page: Page) -> Table:
    table = Table(show_lines=True)
    for name in ("question", "best", "next best", "significant?"):
        table.add_column(name)
    for finding in page.findings:
        best = words.best(page.builder, finding)
        table.add_row(
            f"{finding.question.title}\n{words.conditions(finding)}",
            "\n".join(f"{name} {figure}" for name, figure in best) or "–",
            _next_best(page, finding),
            words.significance(finding),
        )
    return table


def _next_best(page: Page, finding: Finding) -> Text:
    """Return the next best contender, and below it, struck through, those not ranked."""
    text = Text(words.next_best(page.builder, finding) or "–")
    for name, why in words.unranked(page.builder, finding):
        text.append("\nnot ranked: ").append(name, style="strike").append(f" {why}")
    return text
