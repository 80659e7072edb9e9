"""A chart as data: what Plotly draws, what is said beside it, and what its CSV calls its axes."""

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
        read: In a sentence, how to read it.
        columns: What the CSV calls x, y and z.
        notes: What else is to be said, below it.
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
    """Draws traces of groups, each in its contender's colour and its run's dash.

    Attributes:
        groups: All that may be drawn on the page.
    """

    groups: Groups
    looks: dict[str, Look] = field(init=False)
    names: dict[str, str] = field(init=False)
    runs: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Give everybody a look and a name that fits."""
        self.looks = looks(self.groups.contenders)
        self.names = unique_names(self.groups.contenders)
        self.runs = unique_names(self.groups.bundles)

    def dash_of(self, run: str) -> str:
        """Return the dash of a run."""
        return DASHES[[*self.groups.bundles].index(run) % len(DASHES)]

    def label(self, contender: str, run: str) -> str:
        """Return what a legend says."""
        name = self.names[contender]
        return name if len(self.groups.bundles) == 1 else f"{name} · {self.runs[run]}"

    def trace(self, contender: str, run: str, more: str = "", **fields: Any) -> Trace:
        """Return a trace that the page can show and hide with its contender and run."""
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
            y=[found.median for _, found in points],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(found.high or found.median) - found.median for _, found in points],
                "arrayminus": [found.median - (found.low or found.median) for _, found in points],
                "thickness": 1.2,
            },
            line={"color": look.colour, "dash": dash or self.dash_of(run), "width": 2.5},
            marker={"color": look.colour, "symbol": look.symbol, "size": 9},
            **fields,
        )

    def crosses(
        self, contender: str, run: str, points: Sequence[tuple[float, float, str]], more: str = ""
    ) -> Trace:
        """Return marks of what is shown but not ranked: crossed out, and on no line."""
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
        """Return who had which cores, and for how long: it stands on every chart."""
        said = []
        for bundle in self.groups.bundles.values():
            about = bundle.about
            server, generator = (
                ",".join(map(str, cores)) for cores in (about.cores.server, about.cores.generator)
            )
            text = f"server on core {server}, generator on core {generator};"
            text += f" {about.options.repeats} × {about.options.duration_s:g} s"
            if about.options.targets:
                names = ", ".join(map(shown, about.options.targets))
                text += f"; not started by us, on cores that are not known: {names}"
            said.append(text)
        return " | ".join(dict.fromkeys(said))


def load_name(load: str) -> str:
    """Return what a kind of load is called where it is shown."""
    if load.startswith(SHARE):
        return f"{load.removeprefix(SHARE)} % of its own capacity"
    return {RATE: "common rate", FLAT_OUT: "flat out"}.get(load, load)


def verdict_of(group: Group) -> str:
    """Return the verdicts of a group's repeats."""
    return " / ".join(group.verdicts)


def axis(title: str, *, log: bool = False, **fields: Any) -> dict[str, Any]:
    """Return an axis; one that is not logarithmic begins at 0."""
    kind = {"type": "log"} if log else {"rangemode": "tozero"}
    return {"title": {"text": title}, "automargin": True, **kind, **fields}


def connections_axis(connections: Sequence[int]) -> dict[str, Any]:
    """Return the axis of connections: logarithmic, with the numbers that were measured."""
    return axis("connections", log=True) | {
        "tickmode": "array",
        "tickvals": list(connections),
        "ticktext": [f"{n:,}" for n in connections],
    }
