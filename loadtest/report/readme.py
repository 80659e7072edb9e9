"""Writes what README and docs/comparison.md show of the stored run.

    python -m loadtest.report.readme [BUNDLE]

A bundle becomes the stored run, with only ``cell.json`` of each cell. Then the chart and the
generated parts of both documents are rewritten.
"""

import re
import sys
import tempfile
import zipfile
from pathlib import Path

from loadtest.bundle.read import read_bundle
from loadtest.report.markdown import choices, headline
from loadtest.report.overview import overview_chart
from loadtest.report.page import Page
from loadtest.report.svg import drawn

ROOT = Path(__file__).parent.parent.parent
STORED = ROOT / "docs" / "reference.zip"
CHART = ROOT / "docs" / "comparison.svg"
README = ROOT / "README.md"
COMPARISON = ROOT / "docs" / "comparison.md"

_BEGIN, _END = "<!-- comparison: begin -->", "<!-- comparison: end -->"


def stored_page() -> Page:
    """Return the page of the stored run."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(STORED) as stored:
        stored.extractall(folder)
        (bundle,) = map(read_bundle, Path(folder).iterdir())
    return Page({bundle.id: bundle})


def store(folder: Path) -> None:
    """Make a bundle the stored run, as one file instead of a thousand."""
    run = folder.resolve().name
    own = [folder / name for name in ("run.json", "cells.json", "state.json")]
    STORED.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(STORED, "w", zipfile.ZIP_DEFLATED) as stored:
        for path in (*own, *sorted(folder.glob("*-*/cell.json"))):
            stored.write(path, Path(run) / path.relative_to(folder))


def summary(page: Page) -> str:
    """Return the generated part of the README."""
    ((run, bundle),) = page.groups.bundles.items()
    return (
        "![How far behind the best each model is, question by question](docs/comparison.svg)\n\n"
        f"Run `{run}` on {bundle.about.cpu}; [every figure of it](docs/comparison.md)."
    )


def block(page: Page) -> str:
    """Return the generated part of docs/comparison.md."""
    ((run, bundle),) = page.groups.bundles.items()
    about, options = bundle.about, bundle.about.options
    versions = ", ".join(
        f"{name} {about.versions[name]}" for name in ("python", "gevent", "uvloop", "locust")
    )
    conditions = (
        f"Run `{run}` of {about.started[:10]}, commit `{(about.commit or '')[:12]}`:"
        f" {options.repeats} repeats of {options.duration_s:g} s, server and generator on a core"
        f" each of {about.cpu} with {about.memory_bytes / 2**30:.0f} GiB, Linux {about.kernel},"
        f" {versions}. Medians with bootstrap intervals (of three repeats: their range); *noise* is"
        " the difference between measurements of one and the same server in this run."
    )
    lines = [
        "![How far behind the best each model is, question by question](comparison.svg)",
        "",
        conditions,
        "",
        *headline(page),
        "",
        "## When to choose which",
        *choices(page),
    ]
    return "\n".join(lines)


def chart_of(page: Page) -> str:
    """Return the README's chart as SVG."""
    return drawn(overview_chart(page.builder, page.findings))


def generated(document: Path) -> str:
    """Return the part of a document that this module writes."""
    match = re.search(f"{_BEGIN}\n(.*)\n{_END}", document.read_text(encoding="utf-8"), re.DOTALL)
    if match is None:
        raise ValueError(f"expected {_BEGIN} and {_END} in {document.name}")
    return match[1]


def _rewrite(document: Path, part: str) -> None:
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    document.write_text(f"{before}{_BEGIN}\n{part}\n{_END}{after}", encoding="utf-8")


def main() -> None:
    """Write the generated parts of both documents, and the chart."""
    if len(sys.argv) > 1:
        store(Path(sys.argv[1]))
    page = stored_page()
    CHART.write_text(chart_of(page), encoding="utf-8")
    _rewrite(README, summary(page))
    _rewrite(COMPARISON, block(page))


if __name__ == "__main__":
    main()
