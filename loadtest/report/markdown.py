"""A report as Markdown: for a pull request, a wiki, a README."""

import re
from collections.abc import Iterator

from loadtest.analysis.findings import Finding
from loadtest.analysis.metrics import METRICS
from loadtest.report import words
from loadtest.report.advice import advice
from loadtest.report.circumstances import circumstances
from loadtest.report.page import TABLE, Page
from loadtest.report.style import number

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(page: Page) -> str:
    """Return all of a page but its charts."""
    lines = [f"# Comparison: {', '.join(map(plain, page.groups.bundles))}", ""]
    lines += [f"> {plain(problem)}" for problem in page.problems]
    if page.findings:
        lines += ["", *headline(page), "", "## When to choose which", *choices(page)]
        lines += ["", "## Rankings"]
        for finding in page.findings:
            lines += ["", *_ranking(page, finding)]
        if again := [*_anew(page)]:
            lines += ["", "## Done anew", "", *again]
    else:  # nothing to compare
        lines += ["", *_figures(page)]
    lines += [
        "",
        "## Circumstances",
        "",
        "| | " + " | ".join(map(plain, page.groups.bundles)) + " |",
    ]
    lines.append("|---|" + "---|" * len(page.groups.bundles))
    for name, values in circumstances(page.groups.bundles):
        lines.append(f"| {plain(name)} | {' | '.join(map(plain, values))} |")
    return "\n".join(lines) + "\n"


def headline(page: Page) -> Iterator[str]:
    """Yield the table of who won what."""
    yield "| question | best | next best | is it real? |"
    yield "|---|---|---|---|"
    for finding in page.findings:
        figure = words.best_value(finding)
        cells = (
            plain(f"{finding.question.title} ({words.conditions(finding)})"),
            plain(words.winners(page.pen, finding) + (f": {figure}" if figure else "")),
            _next_best(page, finding),
            plain(words.real(finding)),
        )
        yield f"| {' | '.join(cells)} |"


def _next_best(page: Page, finding: Finding) -> str:
    """Return the next best, and below it, struck through, what could not be ranked."""
    struck = [f"~~{plain(one.name)}~~ {plain(one.why)}" for one in words.struck(page.pen, finding)]
    return "<br>".join([plain(words.next_best(page.pen, finding) or "–"), *struck])


def choices(page: Page) -> Iterator[str]:
    """Yield when to choose which, with the figures beside each sentence."""
    for one in advice(page.pen, page.findings):
        yield ""
        yield f"**{one.heading.title}.** {one.heading.why}"
        yield ""
        for line in one.lines:
            yield f"- {plain(line.text)} _{plain(line.conditions)}_"


def _ranking(page: Page, finding: Finding) -> Iterator[str]:
    unit = finding.metric.unit
    yield f"**{finding.question.title}** ({words.conditions(finding)})"
    yield ""
    yield f"| | {plain(finding.metric.title)} | beside the best | |"
    yield "|---|---|---|---|"
    for row in finding.rows:
        label = page.pen.label(row.group.key.contender, row.group.key.run)
        shown = words.value(row.estimate, unit)
        if row.estimate is None:
            shown = f"~~{number(row.struck)} {unit}~~"
        said = words.verdict_of_row(finding, row)
        yield f"| {plain(label)} | {shown} | {words.times(row.ratio)} | {plain(said)} |"


def _anew(page: Page) -> Iterator[str]:
    for block in page.verdicts():
        for row in block["rows"]:
            if row["anew"]:
                what = f"{block['scenario']}, {row['connections']} connections, {row['load']}"
                yield f"- {plain(row['label'])} ({plain(what)}): {plain(row['anew'])}"


def _figures(page: Page) -> Iterator[str]:
    heads = [f"{METRICS[name].title}, {METRICS[name].unit}" for name in TABLE]
    heads = ["contender", "scenario", "connections", "load", *heads, "verdict", "evidence"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for block in page.verdicts():
        for row in block["rows"]:
            of = (row["label"], block["scenario"], row["connections"], row["load"])
            figures = [f"~~{text}~~" if struck else text for text, struck in row["cells"]]
            evidence = "; ".join(filter(None, (row["why"], row["anew"])))
            cells = [*map(plain, of), *figures, plain(row["verdicts"]), plain(evidence)]
            yield f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Return a text so that Markdown shows it as it is."""
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))
