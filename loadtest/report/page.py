"""The page: headline, charts, advice, verdicts, circumstances; in one file or served in parts."""

import hashlib
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from loadtest.analysis.findings import Finding, findings
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, ranked
from loadtest.bundle.plan import FLAT_OUT, RATE
from loadtest.bundle.read import Bundle, BundleError
from loadtest.bundle.state import RUNNING
from loadtest.catalogue import SCENARIOS
from loadtest.measure.reconnections import reconnect_notes
from loadtest.report import words
from loadtest.report.advice import advice
from loadtest.report.chart import Chart, Pen, load_name
from loadtest.report.circumstances import circumstances
from loadtest.report.curves import scenario_charts
from loadtest.report.details import block_charts
from loadtest.report.lanes import lanes_chart
from loadtest.report.overview import overview_chart
from loadtest.report.style import number, shown

_assets = Environment(
    loader=PackageLoader("loadtest.report", "assets"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **context: Any) -> str:
    """Return one of our pages; whatever is in the context is text."""
    return _assets.get_template(name).render(context)


_OVERVIEW = "overview"
TABLE = ("rate", "p50", "p99", "cpu", "memory")


class Page:
    """All that is shown of some runs.

    Args:
        bundles: Run -> its bundle.
        problems: What could not be read.
    """

    def __init__(self, bundles: Mapping[str, Bundle], problems: Iterable[str] = ()) -> None:
        self.groups = Groups(dict(bundles))
        self.pen = Pen(self.groups)
        self.problems = [*problems, *_problems(self.groups)]

    @cached_property
    def findings(self) -> list[Finding]:
        """What the cells answer."""
        return findings(self.groups)

    @cached_property
    def live(self) -> bool:
        """Whether any of the runs goes on."""
        return any(bundle.state.state == RUNNING for bundle in self.groups.bundles.values())

    # -- parts: charts by name, each made when it is wanted ---------------------------------------

    @cached_property
    def _blocks(self) -> dict[str, tuple[str, int, str]]:
        return {_id("block", *block): block for block in self.groups.by_block}

    @cached_property
    def _lanes(self) -> dict[str, Group]:
        return {
            _id("lanes", *group.key): group
            for block in self.groups.by_block.values()
            for group in block
        }

    @cached_property
    def _scenarios(self) -> dict[str, str]:
        return {_id("scenario", name): name for name in self.groups.scenarios()}

    def parts(self) -> Iterator[str]:
        """Yield the names of all parts."""
        yield from (_OVERVIEW, *self._scenarios, *self._blocks, *self._lanes)

    def part(self, name: str) -> bytes:
        """Return the charts of a part as JSON.

        Raises:
            KeyError: There is no such part.
        """
        try:
            if name == _OVERVIEW:
                charts = [overview_chart(self.pen, self.findings)] if self.findings else []
            elif name in self._scenarios:
                charts = scenario_charts(self.pen, self._scenarios[name])
            elif name in self._blocks:
                charts = block_charts(self.pen, *self._blocks[name])
            else:
                charts = [lanes_chart(self.pen, self._lanes[name])]
        except BundleError as error:  # one cell: the other parts are as good as before
            return msgspec.json.encode({"charts": [], "problem": str(error)})
        return msgspec.json.encode({"charts": [self._drawn(chart) for chart in charts]})

    def _drawn(self, chart: Chart) -> dict[str, Any]:
        return asdict(chart) | {"circumstances": self.pen.circumstances()}

    def catalogue(self) -> dict[str, Any]:
        """Return what the page's controls offer, and the parts that belong to it."""
        scenarios = []
        for part, scenario in self._scenarios.items():
            blocks = [
                {
                    "connections": connections,
                    "load": load,
                    "label": f"{connections:,}, {load_name(load)}",
                    "part": name,
                    "lanes": [
                        {
                            "contender": group.key.contender,
                            "run": group.key.run,
                            "label": self.pen.label(group.key.contender, group.key.run),
                            "part": _id("lanes", *group.key),
                        }
                        for group in self.groups.of(scenario, connections, load)
                    ],
                }
                for name, (of, connections, load) in sorted(
                    self._blocks.items(), key=lambda item: (item[1][1], item[1][2] != RATE)
                )
                if of == scenario
            ]
            scenarios.append({"name": scenario, "part": part, "blocks": blocks})
        return {
            "overview": _OVERVIEW,
            "scenarios": scenarios,
            "live": self.live,
            "runs": [*self.groups.bundles],
        }

    @cached_property
    def served(self) -> str:
        """The page as a dashboard serves it."""
        return self.html(inline=False)

    # -- the text ---------------------------------------------------------------------------------

    def html(self, **more: Any) -> str:
        """Return the page; ``more`` says where it finds its parts and scripts."""
        context = {
            "title": "Concurrency models, compared",
            "runs": [self._run(run, bundle) for run, bundle in self.groups.bundles.items()],
            "contenders": [
                {"name": name, "shown": shown(name), "look": self.pen.looks[name]}
                for name in self.groups.contenders
            ],
            "headline": [self._headline(finding) for finding in self.findings],
            "advice": advice(self.pen, self.findings),
            "verdicts": [*self.verdicts()],
            "table_heads": [METRICS[name] for name in TABLE],
            "circumstances": circumstances(self.groups.bundles),
            "problems": self.problems,
            "catalogue": as_json(msgspec.json.encode(self.catalogue())),
            "SCENARIOS": SCENARIOS,
        }
        return render("page.html", **context, **more)

    def _run(self, run: str, bundle: Bundle) -> dict[str, Any]:
        return {
            "name": run,
            "state": bundle.state,
            "about": bundle.about,
            "dash": self.pen.dash_of(run),
            "commit": (bundle.about.commit or "no commit")[:12],
        }

    def _headline(self, finding: Finding) -> dict[str, Any]:
        return {
            "question": finding.question.title,
            "conditions": words.conditions(finding),
            "winners": words.winners(self.pen, finding),
            "colours": [self.pen.looks[r.group.key.contender].colour for r in finding.winners],
            "value": words.best_value(finding),
            "next": words.next_best(self.pen, finding),
            "unranked": words.struck(self.pen, finding),
            "real": words.real(finding),
            "is_real": finding.known and bool(finding.losers),
            "rows": [
                {
                    "contender": row.group.key.contender,
                    "run": row.group.key.run,
                    "label": self.pen.label(row.group.key.contender, row.group.key.run),
                    "value": words.value(row.estimate, finding.metric.unit)
                    if row.estimate
                    else f"{number(row.struck)} {finding.metric.unit}",
                    "struck": row.estimate is None,
                    "ratio": words.times(row.ratio),
                    "said": words.verdict_of_row(finding, row),
                }
                for row in finding.rows
            ],
        }

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """Yield each scenario with its groups of repeats: figures, verdicts and evidence."""
        for scenario in self.groups.scenarios():
            rows = [
                self._verdict_row(group)
                for (of, _, _), block in sorted(self.groups.by_block.items())
                if of == scenario
                for group in block
            ]
            reveals = SCENARIOS[scenario].reveals if scenario in SCENARIOS else ""
            yield {"scenario": scenario, "reveals": reveals, "rows": rows}

    def _verdict_row(self, group: Group) -> dict[str, Any]:
        key = group.key
        worst = next((r for r in group.results.values() if not ranked(r)), None)
        reason = worst or next(iter(group.results.values()))
        return {
            "contender": key.contender,
            "run": key.run,
            "label": self.pen.label(key.contender, key.run),
            "connections": f"{key.connections:,}",
            "load": _load(group),
            "verdicts": ", ".join(f"{len(r)} × {name}" for name, r in group.verdicts.items()),
            "why": reason.verdict.why,
            "anew": "; ".join(_anew(group)),
            "ranked": any(map(ranked, group.results.values())),
            "cells": [_cell(group, name) for name in TABLE],
        }


def _cell(group: Group, name: str) -> tuple[str, bool]:
    """Return a number as it is shown, and whether it is struck out."""
    metric = METRICS[name]
    if values := group.values(metric):
        return number(statistics.median(values.values())), False
    struck = group.struck(metric)
    return ("" if struck is None else number(struck)), struck is not None


def _anew(group: Group) -> list[str]:
    """Return what was done anew in all repeats of a group."""
    classes = [c for result in group.results.values() for c in result.classes.values()]
    return reconnect_notes(sum(c.reconnects for c in classes), sum(c.retries for c in classes))


def _load(group: Group) -> str:
    if group.key.load == FLAT_OUT:
        return "flat out"
    rate_hz = max(result.rate_wanted_hz for result in group.results.values())
    share = "" if group.key.load == RATE else f" ({group.key.load.removeprefix('share-')} %)"
    return f"{rate_hz:,.0f}/s{share}"


def _problems(groups: Groups) -> Iterator[str]:
    for run, bundle in groups.bundles.items():
        for name, why in bundle.state.failed.items():
            yield f"{run}: {name} could not be run: {why}"
        for why in bundle.broken.values():
            yield f"{run}: {why}"
        left_out = bundle.state.left_out
        if left_out:
            example, why = next(iter(left_out.items()))
            yield f"{run}: {len(left_out)} cells were left out, such as {example}: {why}"


def _id(*parts: object) -> str:
    """Return a name that stays the same while other cells come in, and is safe anywhere."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def as_json(encoded: bytes) -> Markup:
    """Return JSON as it may stand within a script element, whatever is in it."""
    return Markup(encoded.decode().replace("<", "\\u003c"))  # noqa: S704  # it cannot end it
