"""A chart as data: traces for Plotly, the text beside it, and the names of its CSV columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.analysis.estimates import Estimate
from loadtest.analysis.groups import Group, Groups
from loadtest.bundle.plan import FLAT_OUT, RATE, SHARE
from loadtest.report.style import DASHES, Look, looks, shown, unique_names

Trace = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: Unique on a page.
        read: How to read it, in a sentence or two.
        columns: The names of x, y and z in the CSV.
        notes: Further sentences below it.
    """

    name: str
    title: str
    read: str
    traces: list[Trace]
    layout: dict[str, Any]
    columns: Mapping[str, str]
    notes: Sequence[str] = ()


@dataclass
class ChartBuilder:
    """Builds traces of groups, each in its contender's colour and its run's dash.

    Attributes:
        groups: All groups of the page.
    """

    groups: Groups
    looks: dict[str, Look] = field(init=False)
    names: dict[str, str] = field(init=False)
    runs: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Give every contender a look, and every contender and run a name that fits."""
        self.looks = looks(self.groups.contenders)
        self.names = unique_names(self.groups.contenders)
        self.runs = unique_names(self.groups.bundles)

    def dash_of(self, run: str) -> str:
        """Return the dash of a run."""
        return DASHES[[*self.groups.bundles].index(run) % len(DASHES)]

    def label(self, contender: str, run: str) -> str:
        """Return a contender's name in a legend."""
        name = self.names[contender]
        return name if len(self.groups.bundles) == 1 else f"{name} · {self.runs[run]}"

    def trace(self, contender: str, run: str, more: str = "", **fields: Any) -> Trace:
        """Return a trace that the page shows and hides with its contender and run."""
        label = self.label(contender, run)
        return {
            "type": "scatter",
            "name": label,
            "hoverlabel": {"namelength": -1},
            "meta": {"contender": contender, "run": run, "more": more},
            **fields,
        }

    def line(
        self,
        contender: str,
        run: str,
        points: Sequence[tuple[float, Estimate]],
        more: str = "",
        dash: str | None = None,
        **fields: Any,
    ) -> Trace:
        """Return a line of medians with their intervals."""
        look = self.looks[contender]
        return self.trace(
            contender,
            run,
            more,
            mode="lines+markers",
            x=[x for x, _ in points],
            y=[point.median for _, point in points],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(point.high or point.median) - point.median for _, point in points],
                "arrayminus": [point.median - (point.low or point.median) for _, point in points],
                "thickness": 1.2,
            },
            line={"color": look.colour, "dash": dash or self.dash_of(run), "width": 2.5},
            marker={"color": look.colour, "symbol": look.symbol, "size": 9},
            **fields,
        )

    def crosses(
        self, contender: str, run: str, points: Sequence[tuple[float, float, str]], more: str = ""
    ) -> Trace:
        """Return crosses for values that are not ranked; no line joins them."""
        return self.trace(
            contender,
            run,
            f"{more} not ranked".strip(),
            mode="markers",
            x=[x for x, _, _ in points],
            y=[y for _, y, _ in points],
            text=[verdict for _, _, verdict in points],
            hovertemplate="%{y:.4~g} <b>%{text}</b>: not ranked<extra>%{fullData.name}</extra>",
            marker={"color": self.looks[contender].colour, "symbol": "x", "size": 9},
            opacity=0.55,
            showlegend=False,
        )

    def circumstances(self) -> str:
        """Return the cores of server and generator, and the repeats, for below every chart."""
        texts = []
        for bundle in self.groups.bundles.values():
            about = bundle.about
            server, generator = (
                ",".join(map(str, cores)) for cores in (about.cores.server, about.cores.generator)
            )
            text = f"server on core {server}, generator on core {generator};"
            text += f" {about.options.repeats} × {about.options.duration_s:g} s"
            if about.options.targets:
                names = ", ".join(map(shown, about.options.targets))
                text += f"; not started by us, cores unknown: {names}"
            texts.append(text)
        return " | ".join(dict.fromkeys(texts))


def load_name(load: str) -> str:
    """Return the display name of a kind of load."""
    if load.startswith(SHARE):
        return f"{load.removeprefix(SHARE)}% of its own capacity"
    return {RATE: "common rate", FLAT_OUT: "flat out"}.get(load, load)


def verdict_of(group: Group) -> str:
    """Return the verdicts of a group's repeats."""
    return " / ".join(group.verdicts)


def axis(title: str, *, log: bool = False, **fields: Any) -> dict[str, Any]:
    """Return an axis; a linear one starts at 0."""
    kind = {"type": "log"} if log else {"rangemode": "tozero"}
    return {"title": {"text": title}, "automargin": True, **kind, **fields}


def connections_axis(connections: Sequence[int]) -> dict[str, Any]:
    """Return the axis of connections: logarithmic, with a tick at each measured number."""
    return axis("connections", log=True) | {
        "tickmode": "array",
        "tickvals": list(connections),
        "ticktext": [f"{n:,}" for n in connections],
    }
