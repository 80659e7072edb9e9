"""The cores of the server and of the generator."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """The cores of either side."""

    server: list[int]
    generator: list[int]

    @classmethod
    def halves(cls) -> "Cores":
        """Split the cores that this process may use; a single core goes to both sides."""
        cores = sorted(os.sched_getaffinity(0))
        half = len(cores) // 2
        return cls(cores[:half] or cores, cores[half:])

    @property
    def apart(self) -> bool:
        """Whether the sides share no core."""
        return not set(self.server) & set(self.generator)


def parse_cores(text: str) -> list[int]:
    """Return the cores in a list such as ``0,2-3``; this process must be allowed to use them.

    Raises:
        ValueError: It may not; says what was expected and what was got.
    """
    usable = os.sched_getaffinity(0)
    chosen = numbers_in(text)
    if not chosen or not chosen <= usable:
        raise ValueError(f"expected cores, each one of {sorted(usable)}, got {text!r}")
    return sorted(chosen)


def numbers_in(text: str) -> set[int]:
    """Return the numbers in a list such as ``0,2-3`` (cpuset(7)); of "", none.

    Raises:
        ValueError: The text has another form; says what was expected and what was got.
    """
    numbers: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"expected cores such as 0,2-3, got {text!r}")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
