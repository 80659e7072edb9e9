"""The page of some runs: headline, charts, advice, verdicts, circumstances.

A report carries all charts within one file; the dashboard serves them in parts, made on demand.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import msgspec
from markupsafe import Markup

from loadtest.analysis.findings import Finding, findings
from loadtest.analysis.groups import Group, Groups
from loadtest.bundle.plan import RATE
from loadtest.bundle.read import Bundle, BundleError
from loadtest.bundle.state import RUNNING
from loadtest.report import tables, words
from loadtest.report.advice import advice
from loadtest.report.chart import Chart, ChartBuilder, load_name
from loadtest.report.circumstances import circumstances
from loadtest.report.curves import scenario_charts
from loadtest.report.details import block_charts
from loadtest.report.lanes import lanes_chart
from loadtest.report.overview import overview_chart
from loadtest.report.style import shown
from loadtest.report.templates import as_json, render

_OVERVIEW = "overview"


class Page:
    """The page of some runs.

    Args:
        bundles: Run -> its bundle.
        problems: Bundles that cannot be read, and why.
    """

    def __init__(self, bundles: Mapping[str, Bundle], problems: Iterable[str] = ()) -> None:
        self.groups = Groups(dict(bundles))
        self.builder = ChartBuilder(self.groups)
        self.problems = [*problems, *_problems(self.groups)]

    @cached_property
    def findings(self) -> list[Finding]:
        """The answers that the cells give."""
        return findings(self.groups)

    @cached_property
    def live(self) -> bool:
        """Whether any of the runs is still running."""
        return any(bundle.state.state == RUNNING for bundle in self.groups.bundles.values())

    # -- parts: charts by name, each made on demand -----------------------------------------------

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
                charts = [overview_chart(self.builder, self.findings)] if self.findings else []
            elif name in self._scenarios:
                charts = scenario_charts(self.builder, self._scenarios[name])
            elif name in self._blocks:
                charts = block_charts(self.builder, *self._blocks[name])
            else:
                charts = [lanes_chart(self.builder, self._lanes[name])]
        except BundleError as error:  # one broken cell must not hide the other parts
            return msgspec.json.encode({"charts": [], "problem": str(error)})
        return msgspec.json.encode({"charts": [self._with_circumstances(one) for one in charts]})

    def _with_circumstances(self, chart: Chart) -> dict[str, Any]:
        return asdict(chart) | {"circumstances": self.builder.circumstances()}

    def catalogue(self) -> dict[str, Any]:
        """Return the choices that the page's controls offer, each with the parts it shows."""
        return {
            "overview": _OVERVIEW,
            "scenarios": [
                {"name": scenario, "part": part, "blocks": self._block_choices(scenario)}
                for part, scenario in self._scenarios.items()
            ],
            "live": self.live,
            "runs": [*self.groups.bundles],
        }

    def _block_choices(self, scenario: str) -> list[dict[str, Any]]:
        in_order = sorted(self._blocks.items(), key=lambda item: (item[1][1], item[1][2] != RATE))
        return [
            {
                "connections": connections,
                "load": load,
                "label": f"{connections:,}, {load_name(load)}",
                "part": part,
                "lanes": [
                    {
                        "contender": group.key.contender,
                        "run": group.key.run,
                        "label": self.builder.label(group.key.contender, group.key.run),
                        "part": _id("lanes", *group.key),
                    }
                    for group in self.groups.of(scenario, connections, load)
                ],
            }
            for part, (name, connections, load) in in_order
            if name == scenario
        ]

    # -- the text ---------------------------------------------------------------------------------

    @cached_property
    def served(self) -> str:
        """The page as the dashboard serves it."""
        return self.html()

    def html(self, *, css: Markup | None = None, **assets: Any) -> str:
        """Return the page.

        Args:
            css: The style sheet, for a page that is one file; None: the dashboard serves it.
            assets: ``js``, ``plotly`` and ``parts`` beside it.
        """
        context = {
            "title": "Concurrency models compared",
            "runs": [self._run(run, bundle) for run, bundle in self.groups.bundles.items()],
            "contenders": [
                {"name": name, "shown": shown(name), "look": self.builder.looks[name]}
                for name in self.groups.contenders
            ],
            "headline": [self._headline(finding) for finding in self.findings],
            "advice": advice(self.builder, self.findings),
            "blocks": [*tables.blocks(self.builder)],
            "columns": tables.COLUMNS,
            "circumstances": circumstances(self.groups.bundles),
            "problems": self.problems,
            "catalogue": as_json(msgspec.json.encode(self.catalogue())),
        }
        return render("page.html", css=css, **context, **assets)

    def _run(self, run: str, bundle: Bundle) -> dict[str, Any]:
        return {
            "name": run,
            "state": bundle.state,
            "about": bundle.about,
            "dash": self.builder.dash_of(run),
            "commit": (bundle.about.commit or "not known")[:12],
        }

    def _headline(self, finding: Finding) -> dict[str, Any]:
        looks = [self.builder.looks[row.group.key.contender] for row in finding.winners]
        return {
            "question": finding.question.title,
            "conditions": words.conditions(finding),
            "best": [*zip(looks, words.best(self.builder, finding), strict=True)],
            "next": words.next_best(self.builder, finding),
            "unranked": words.unranked(self.builder, finding),
            "significance": words.significance(finding),
            "significant": finding.is_conclusive and bool(finding.losers),
            "ranking": words.ranking(self.builder, finding),
        }


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
    """Return a name that stays the same as cells are added, and is safe in URL and HTML."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
