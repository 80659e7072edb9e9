"""What came instead where connections have had no right first reply: counted, merged, said."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from loadtest.measure.errors import ReplyError

SILENCE = ""
"""The name of what came where nothing did."""


class FirstFailure(NamedTuple):
    """One kind of what came instead of a right first reply; Locust's messages carry it as a list.

    Attributes:
        name: Of the error.
        final: Whether another try would end the same way: one that may has been made.
        text: Of the error, where it came most often.
        connections: How many had it at their last try.
    """

    name: str
    final: bool
    text: str
    connections: int

    @classmethod
    def of(cls, error: ReplyError, again: bool = False) -> "FirstFailure":
        """Return what one connection had.

        Args:
            error: What its last try ended with.
            again: Whether the try before ended the same way.
        """
        return cls(type(error).__name__, error.final and again, str(error), 1)


def merged(kinds: Iterable[FirstFailure]) -> list[FirstFailure]:
    """Return the kinds that several processes have seen, the most frequent first."""
    texts: dict[tuple[str, bool], Counter[str]] = {}
    for kind in kinds:
        texts.setdefault((kind.name, kind.final), Counter())[kind.text] += kind.connections
    found = [
        FirstFailure(name, final, seen.most_common(1)[0][0], seen.total())
        for (name, final), seen in texts.items()
    ]
    return sorted(found, key=lambda kind: -kind.connections)


def with_silence(kinds: Sequence[FirstFailure], without_reply: int) -> list[FirstFailure]:
    """Return the kinds, and silence for the connections that had neither a reply nor an error."""
    silent = without_reply - sum(kind.connections for kind in kinds)
    if silent <= 0:
        return [*kinds]
    return [*kinds, FirstFailure(SILENCE, False, "nothing came", silent)]


def said(kinds: Sequence[FirstFailure]) -> str:
    """Return the kinds in words."""
    count = "all {:,}" if len(kinds) == 1 else "{:,}"
    return "; ".join(
        f"{count.format(kind.connections)}: {f'{kind.name}: ' if kind.name else ''}{kind.text}"
        for kind in kinds
    )
