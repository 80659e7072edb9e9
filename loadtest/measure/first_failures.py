"""Why connections had no right first reply: counted by kind, merged over processes, worded."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from loadtest.measure.errors import ReplyError

SILENCE = ""
"""Name of the kind where nothing came at all."""


class FirstFailure(NamedTuple):
    """One kind of failure before a right first reply; Locust's messages carry it as a list.

    Attributes:
        name: Of the error.
        final: Whether another try would end the same way: two in a row have.
        text: The most frequent one of the error.
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
    """Return the kinds of several processes, the most frequent first."""
    texts: dict[tuple[str, bool], Counter[str]] = {}
    for kind in kinds:
        texts.setdefault((kind.name, kind.final), Counter())[kind.text] += kind.connections
    merged_kinds = [
        FirstFailure(name, final, counts.most_common(1)[0][0], counts.total())
        for (name, final), counts in texts.items()
    ]
    return sorted(merged_kinds, key=lambda kind: -kind.connections)


def with_silence(kinds: Sequence[FirstFailure], without_reply: int) -> list[FirstFailure]:
    """Add silence, for the connections that had neither a reply nor an error."""
    silent = without_reply - sum(kind.connections for kind in kinds)
    if silent <= 0:
        return [*kinds]
    return [*kinds, FirstFailure(SILENCE, False, "nothing came", silent)]


def described(kinds: Sequence[FirstFailure]) -> str:
    """Return the kinds as a phrase."""
    count = "all {:,}" if len(kinds) == 1 else "{:,}"
    return "; ".join(
        f"{count.format(kind.connections)}: {f'{kind.name}: ' if kind.name else ''}{kind.text}"
        for kind in kinds
    )
