"""The README's chart as SVG, drawn without a browser: the same bytes on every machine."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from loadtest.report.chart import Chart, Trace
from loadtest.report.style import number

WIDTH = 980
"""In pixels: the width of a README on GitHub on a wide screen."""

LEFT, RIGHT, TOP, LINE, BOTTOM = 390, 24, 56, 52, 92
"""In pixels: margins for the questions, the right edge and the title; the height of a question;
the margin for axis and legend."""

_CHARACTER = 7.6
"""Width of a legend's character in pixels, rounded up: there is no browser to measure it."""

_LOOK = 'fill="#2a3f5f" font-family="Verdana, Arial, sans-serif" font-size="13"'
_TICKS = tuple(step * 10**power for power in range(-3, 6) for step in (1, 2, 5))
_BESIDE = 1.25
"""By this factor the axis reaches beyond its outermost marks."""

_CORNERS = {
    "square": (4, 45.0), "diamond": (4, 0.0), "diamond-tall": (4, 0.0), "pentagon": (5, 0.0),
    "hexagon": (6, 0.0), "octagon": (8, 22.5), "triangle-up": (3, 0.0), "triangle-down": (3, 180.0),
    "triangle-left": (3, 270.0), "triangle-right": (3, 90.0),
}  # fmt: skip
"""Plotly's symbols as regular polygons: corners, and degrees of rotation."""

_STARS = {"star": 5, "star-diamond": 4, "star-triangle-up": 3, "bowtie": 2, "hexagram": 6}
"""Plotly's symbols as stars: number of points."""


def drawn(chart: Chart) -> str:
    """Return a chart of questions against a logarithmic axis as SVG.

    Args:
        chart: As ``overview_chart`` returns it: marks with error bars along x, lines of text as y,
            in the order of the layout's ``categoryarray``.
    """
    lines = chart.layout["yaxis"]["categoryarray"]
    bottom = TOP + LINE * len(lines)
    scale = _Scale([edge for trace in chart.traces for edge in _edges(trace)])
    middle = {line: TOP + LINE * (at + 0.5) for at, line in enumerate(lines)}
    size = f'width="{WIDTH}" height="{bottom + BOTTOM}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {_LOOK}>',
        f"<title>{escape(chart.title)}</title>",
        f'<rect {size} fill="white"/>',
        _text(WIDTH / 2, 30, chart.title, size=17),
        *_grid(scale, bottom),
        *_names(middle),
        _text((LEFT + WIDTH - RIGHT) / 2, bottom + 42, chart.layout["xaxis"]["title"]["text"]),
    ]
    for trace in chart.traces:
        parts += _marks(trace, scale, middle)
    parts += _legend(chart.traces, bottom + 72)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """Maps a value to pixels, by its logarithm."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low = min(values, default=1.0) / _BESIDE
        self.high = max(values, default=1.0) * _BESIDE

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - RIGHT - LEFT)


def _edges(trace: Trace) -> Iterator[float]:
    yield from trace["x"]
    for x, more, less in _whiskers(trace):
        yield from (x - less, x + more)


def _whiskers(trace: Trace) -> list[tuple[float, float, float]]:
    """Return the error bars: x, and the lengths to the right and to the left."""
    bars = trace.get("error_x")
    return [*zip(trace["x"], bars["array"], bars["arrayminus"], strict=True)] if bars else []


def _grid(scale: _Scale, bottom: float) -> Iterator[str]:
    for tick in _TICKS:
        if scale.low < tick < scale.high:
            x, colour = scale(tick), "#506784" if tick == 1 else "#e4e9f0"
            yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{colour}"/>'
            yield _text(x, bottom + 20, number(tick))


def _names(middle: Mapping[str, float]) -> Iterator[str]:
    """Yield the labels of the lines: the question, and below it the conditions."""
    for line, y in middle.items():
        question, _, conditions = line.partition("<br>")
        yield _text(LEFT - 10, y - 3, question, "end")
        yield _text(LEFT - 10, y + 13, conditions, "end", size=11)


def _marks(trace: Trace, scale: _Scale, middle: Mapping[str, float]) -> Iterator[str]:
    colour, size = trace["marker"]["color"], trace["marker"]["size"]
    for (x, more, less), line in zip(_whiskers(trace), trace["y"], strict=False):
        left, right, y = scale(x - less), scale(x + more), middle[line]
        yield (
            f'<path d="M{left:.1f} {y - 3:.1f}v6m0 -3H{right:.1f}m0 -3v6" fill="none"'
            f' stroke="{colour}" stroke-width="1.2"/>'
        )
    for x, line, text in zip(trace["x"], trace["y"], trace["text"], strict=True):
        tooltip = f"{trace['name']}: {text}"
        yield _mark(trace["marker"]["symbol"], colour, scale(x), middle[line], size / 2, tooltip)


def _mark(symbol: str, colour: str, x: float, y: float, radius: float, tooltip: str) -> str:
    """Return a mark with a tooltip."""
    open_ = symbol.endswith("-open")
    name = symbol.removesuffix("-open")
    look = f'fill="white" stroke="{colour}"' if open_ else f'fill="{colour}" stroke="white"'
    if name in _CORNERS:
        corners, turned = _CORNERS[name]
        shape = _polygon(x, y, [radius * 1.2] * corners, turned)
    elif name in _STARS:
        shape = _polygon(x, y, [radius * 1.3, radius * 0.5] * _STARS[name], 0.0)
    elif name in ("x", "cross"):
        turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if name == "x" else ""
        look = f'stroke="{colour}" stroke-width="3"{turn}'
        across, down = f"M{x - radius:.1f} {y:.1f}h", f"M{x:.1f} {y - radius:.1f}v"
        shape = f'path d="{across}{2 * radius:.1f}{down}{2 * radius:.1f}"'
    else:
        shape = f'circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
    return f"<{shape} {look}><title>{escape(tooltip)}</title></{shape.partition(' ')[0]}>"


def _polygon(x: float, y: float, radii: Sequence[float], turned: float) -> str:
    corners = []
    for at, radius in enumerate(radii):
        angle = math.radians(turned + 360 * at / len(radii))
        corners.append(f"{x + radius * math.sin(angle):.1f},{y - radius * math.cos(angle):.1f}")
    return f'polygon points="{" ".join(corners)}"'


def _legend(traces: Sequence[Trace], y: float) -> Iterator[str]:
    entries = [(t["name"], t["marker"]) for t in traces if t.get("showlegend", True)]
    if any(not t.get("showlegend", True) for t in traces):
        entries.append(("not ranked", {"symbol": "x", "color": "#2a3f5f"}))
    x = float(WIDTH - RIGHT - sum(30 + _CHARACTER * len(name) for name, _ in entries))
    for name, marker in entries:
        yield _mark(marker["symbol"], marker["color"], x, y - 4.5, 5.0, name)
        yield _text(x + 12, y, name, "start")
        x += 30 + _CHARACTER * len(name)


def _text(x: float, y: float, text: str, anchor: str = "middle", size: int = 13) -> str:
    bigger = "" if size == 13 else f' font-size="{size}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{bigger}>{escape(text)}</text>'
