"""How contenders look: the same colour and mark on every chart, page and run."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from loadtest.bundle.plan import model_and_workers
from loadtest.bundle.read import shortened

NAME_CHARACTERS_MAX = 32
"""Longer names are cut where they are shown: a legend is no place for a paragraph."""


@dataclass(frozen=True)
class Look:
    """Colour, and a mark for those who cannot tell it."""

    colour: str
    symbol: str


_MODELS = {
    "forking": Look("#D55E00", "square"),
    "threaded": Look("#E69F00", "triangle-up"),
    "gevent": Look("#009E73", "diamond"),
    "asyncio": Look("#56B4E9", "pentagon"),
    "uvloop": Look("#0072B2", "circle"),
}
"""Colours that readers with any of the common kinds of colour blindness tell apart (Okabe and Ito,
Color Universal Design, 2008)."""

_OTHERS = [
    Look("#CC79A7", "star"),
    Look("#8C8C8C", "hexagon"),
    Look("#AA4499", "triangle-down"),
    Look("#B5A300", "cross"),
    Look("#6A51A3", "bowtie"),
    Look("#7F5539", "star-diamond"),
]

_GREY = 0x88

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Of runs, where there are several."""


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return how each contender looks: one of ours always alike, another by its name."""
    found: dict[str, Look] = {}
    for name in names:
        model, workers = model_and_workers(name)
        if model in _MODELS:
            found[name] = _with_workers(_MODELS[model], workers)
            continue
        first = hashlib.sha256(name.encode()).digest()[0]
        order = [_OTHERS[(first + step) % len(_OTHERS)] for step in range(len(_OTHERS))]
        found[name] = next((look for look in order if look not in found.values()), order[0])
    return found


def _with_workers(look: Look, workers: int) -> Look:
    """Return a model's look, greyer and with an open mark where several workers serve it."""
    if workers == 1:
        return look
    kept = 0.8 ** math.log2(workers)
    parts = (int(look.colour[at : at + 2], 16) for at in (1, 3, 5))
    mixed = (round(kept * part + (1 - kept) * _GREY) for part in parts)
    return Look("#" + "".join(f"{part:02X}" for part in mixed), f"{look.symbol}-open")


def shown(name: str) -> str:
    """Return a name as it is shown."""
    return shortened(name, NAME_CHARACTERS_MAX)


def unique_names(names: Iterable[str]) -> dict[str, str]:
    """Return what each name is shown as: no two alike, though both may be cut."""
    found: dict[str, str] = {}
    for name in names:
        short, count = shown(name), 1
        while short in found.values():
            count += 1
            short = f"{shown(name)} #{count}"
        found[name] = short
    return found


def number(value: float | None) -> str:
    """Return a number with the digits that mean something."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
