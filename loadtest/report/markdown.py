"""A report as Markdown: for a pull request, a wiki, a README."""

import re
from collections.abc import Iterator

from loadtest.analysis.findings import Finding
from loadtest.report import tables, words
from loadtest.report.advice import advice
from loadtest.report.circumstances import circumstances
from loadtest.report.page import Page

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(page: Page) -> str:
    """Return a page without its charts."""
    runs = [*map(plain, page.groups.bundles)]
    lines = [f"# Comparison: {', '.join(runs)}", ""]
    lines += [f"> {plain(problem)}" for problem in page.problems]
    if page.findings:
        lines += ["", *headline(page), "", "## When to choose which", *choices(page)]
        lines += ["", "## Rankings"]
        for finding in page.findings:
            lines += ["", *_ranking(page, finding)]
        if again := [*_repeated(page)]:
            lines += ["", "## Reconnected or sent again", "", *again]
    else:  # nothing to compare
        lines += ["", *_figures(page)]
    lines += [
        "",
        "## Circumstances",
        "",
        f"| | {' | '.join(runs)} |",
        "|---" * (1 + len(runs)) + "|",
    ]
    for name, values in circumstances(page.groups.bundles):
        lines.append(f"| {plain(name)} | {' | '.join(map(plain, values))} |")
    return "\n".join(lines) + "\n"


def headline(page: Page) -> Iterator[str]:
    """Yield the table of the best contenders, question by question."""
    yield "| question | best | next best | significant? |"
    yield "|---|---|---|---|"
    for finding in page.findings:
        best = [plain(f"{name} {figure}") for name, figure in words.best(page.builder, finding)]
        cells = (
            plain(f"{finding.question.title} ({words.conditions(finding)})"),
            "<br>".join(best) or "–",
            _next_best(page, finding),
            plain(words.significance(finding)),
        )
        yield f"| {' | '.join(cells)} |"


def _next_best(page: Page, finding: Finding) -> str:
    """Return the next best contender, and below it, struck through, those not ranked."""
    unranked = words.unranked(page.builder, finding)
    struck = [f"~~{plain(one.name)}~~ {plain(one.why)}" for one in unranked]
    return "<br>".join([plain(words.next_best(page.builder, finding) or "–"), *struck])


def choices(page: Page) -> Iterator[str]:
    """Yield when to choose which, with the figures beside each sentence."""
    for one in advice(page.builder, page.findings):
        yield ""
        yield f"**{one.heading.title}.** {one.heading.why}"
        yield ""
        for line in one.lines:
            yield f"- {plain(line.text)} _{plain(line.conditions)}_"


def _ranking(page: Page, finding: Finding) -> Iterator[str]:
    yield f"**{finding.question.title}** ({words.conditions(finding)})"
    yield ""
    yield f"| | {plain(finding.metric.title)} | relative to the best | |"
    yield "|---|---|---|---|"
    for place in words.ranking(page.builder, finding):
        figure = f"~~{place.figure}~~" if place.unranked else place.figure
        yield f"| {plain(place.label)} | {figure} | {place.ratio} | {plain(place.verdict)} |"


def _repeated(page: Page) -> Iterator[str]:
    for block in tables.blocks(page.builder):
        for row in block.rows:
            if row.repeated:
                cell = f"{block.scenario}, {row.connections} connections, {row.load}"
                yield f"- {plain(row.label)} ({plain(cell)}): {plain(row.repeated)}"


def _figures(page: Page) -> Iterator[str]:
    heads = [f"{metric.title}, {metric.unit}" for metric in tables.COLUMNS]
    heads = ["contender", "scenario", "connections", "load", *heads, "verdict", "evidence"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for block in tables.blocks(page.builder):
        for row in block.rows:
            cell = (row.label, block.scenario, row.connections, row.load)
            figures = [f"~~{one.text}~~" if one.unranked else one.text for one in row.figures]
            evidence = "; ".join(filter(None, (row.why, row.repeated)))
            cells = [*map(plain, cell), *figures, plain(row.verdicts), plain(evidence)]
            yield f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Return a text that Markdown shows literally."""
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))
