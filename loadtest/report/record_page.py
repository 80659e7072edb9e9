"""Bundles of run, Locust, selftest and bench as a page: tables and notes, one below the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.table import Table

from loadtest.host import tables, terminal
from loadtest.host.files import write_whole
from loadtest.report.markdown import plain
from loadtest.report.records import Record
from loadtest.report.templates import render


@dataclass(frozen=True)
class Sheet:
    """A table as text; title and caption may be empty."""

    title: str
    heads: list[str]
    rows: list[list[str]]
    caption: str


def sheet_of(table: Table) -> Sheet:
    """Return a table of the terminal as text."""
    return Sheet(
        str(table.title or ""),
        [str(column.header).replace("\n", " ") for column in table.columns],
        [[*map(str, row)] for row in zip(*(column.cells for column in table.columns), strict=True)],
        str(table.caption or ""),
    )


def record_html(records: Sequence[Record], problems: Sequence[str], css: Markup | None) -> str:
    """Return records as a page.

    Args:
        css: The style sheet, for a page that is one file; None: the dashboard serves it.
    """
    sections = [
        {
            "name": record.name,
            "kind": record.kind,
            "origin": record.origin,
            "sheets": [*map(sheet_of, record.contents.tables)],
            "notes": record.contents.notes,
        }
        for record in records
    ]
    return render("record.html", records=sections, problems=problems, css=css)


def record_markdown(records: Sequence[Record], problems: Sequence[str]) -> str:
    """Return records as Markdown, below the problems."""
    lines = [line for problem in problems for line in (f"**{plain(problem)}**", "")]
    lines += [line for record in records for line in _markdown(record)]
    return "\n".join(lines) + "\n"


def _markdown(record: Record) -> Iterator[str]:
    yield from (f"# {plain(f'{record.kind}: {record.name}')}", "")
    if record.origin.command:
        yield from (plain(f"{' '.join(record.origin.command)} ({record.origin.started})"), "")
    for sheet in map(sheet_of, record.contents.tables):
        if sheet.title:
            yield from (f"**{plain(sheet.title)}**", "")
        yield f"| {' | '.join(map(plain, sheet.heads))} |"
        yield "|---" * len(sheet.heads) + "|"
        yield from (f"| {' | '.join(map(plain, row))} |" for row in sheet.rows)
        yield from ("", *(f"{plain(line)}  " for line in sheet.caption.splitlines()), "")
    yield from (f"- {plain(line)}" for line in record.contents.notes)
    yield ""


def write_records(
    records: Sequence[Record],
    problems: Sequence[str],
    folder: Path,
    css: str,
    names: Sequence[str],
) -> Path:
    """Write records into a folder as a page and as Markdown; return the page's path.

    Args:
        problems: Bundles that cannot be read, and why.
        names: The names of the two files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / names[0]
    write_whole(path, record_html(records, problems, Markup(css)))  # noqa: S704  # our own
    write_whole(folder / names[1], record_markdown(records, problems))
    return path


def show_records(records: Sequence[Record]) -> None:
    """Print records."""
    console: Any = terminal.console()
    for record in records:
        terminal.print_line(console, f"{record.kind}: {record.name}")
        tables.print_tables(console, *record.contents.tables)
        for line in record.contents.notes:
            terminal.print_line(console, line)
