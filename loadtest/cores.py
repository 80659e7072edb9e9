"""Which cores the server has, and which the generator."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Who runs where."""

    server: list[int]
    generator: list[int]

    @classmethod
    def halves(cls) -> "Cores":
        """Share out the cores that this process may use; both sides get an only one."""
        cores = sorted(os.sched_getaffinity(0))
        half = len(cores) // 2
        return cls(cores[:half] or cores, cores[half:])
