"""How contenders look: the same colour and mark on every chart, page and run."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from loadtest.bundle.plan import model_and_workers
from loadtest.bundle.read import shortened
from servers.registry import MODELS

NAME_CHARACTERS_MAX = 32
"""Longer names are shortened for display: a legend has no room for more."""


@dataclass(frozen=True)
class Look:
    """A colour, and a mark for readers who cannot tell the colours apart."""

    colour: str
    symbol: str


_PALETTE = (
    Look("#D55E00", "square"),
    Look("#E69F00", "triangle-up"),
    Look("#009E73", "diamond"),
    Look("#56B4E9", "pentagon"),
    Look("#0072B2", "circle"),
    Look("#CC79A7", "star"),
    Look("#8C8C8C", "hexagon"),
    Look("#AA4499", "triangle-down"),
    Look("#B5A300", "cross"),
    Look("#6A51A3", "bowtie"),
    Look("#7F5539", "star-diamond"),
    Look("#332288", "octagon"),
    Look("#44AA99", "triangle-left"),
    Look("#882255", "hexagram"),
    Look("#DDCC77", "triangle-right"),
    Look("#117733", "star-triangle-up"),
)
"""The models take these in the registry's order, other servers share the rest. Readers with any of
the common kinds of colour blindness tell the first seven colours apart (Okabe and Ito, Color
Universal Design, 2008); the marks tell all apart. ``svg`` draws each of them."""

_GREY = 0x88

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""One for each run on a page with several."""


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return each contender's look: a model's never changes, another server's follows its name."""
    models = dict(zip(MODELS, _PALETTE, strict=False))
    others = _PALETTE[len(models) :] or _PALETTE
    chosen: dict[str, Look] = {}
    for name in names:
        model, workers = model_and_workers(name)
        if model in models:
            chosen[name] = _with_workers(models[model], workers)
            continue
        first = hashlib.sha256(name.encode()).digest()[0]
        order = [others[(first + step) % len(others)] for step in range(len(others))]
        chosen[name] = next((look for look in order if look not in chosen.values()), order[0])
    return chosen


def _with_workers(look: Look, workers: int) -> Look:
    """Return a model's look; with several workers it is greyer and its mark open."""
    if workers == 1:
        return look
    kept = 0.8 ** math.log2(workers)
    parts = (int(look.colour[at : at + 2], 16) for at in (1, 3, 5))
    mixed = (round(kept * part + (1 - kept) * _GREY) for part in parts)
    return Look("#" + "".join(f"{part:02X}" for part in mixed), f"{look.symbol}-open")


def shown(name: str) -> str:
    """Return a name shortened for display."""
    return shortened(name, NAME_CHARACTERS_MAX)


def unique_names(names: Iterable[str]) -> dict[str, str]:
    """Return the display name of each name; no two are equal, even if both are shortened."""
    unique: dict[str, str] = {}
    for name in names:
        short, count = shown(name), 1
        while short in unique.values():
            count += 1
            short = f"{shown(name)} #{count}"
        unique[name] = short
    return unique


def number(value: float | None) -> str:
    """Return a number with three significant digits."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
