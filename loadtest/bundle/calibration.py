"""What the generator itself can do on a machine, as a run keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """The generator against a server that does nothing but answer.

    Attributes:
        floor_p50_us: Service time at a low rate: of no server can less be measured.
        floor_p99_us: The same of 99 in 100; what is above the other is the machine's noise.
        ceiling_hz: Requests a second of one process on one core.
    """

    floor_p50_us: float
    floor_p99_us: float
    ceiling_hz: float

    @property
    def summary(self) -> str:
        """One sentence for the terminal."""
        return (
            f"generator on this machine: floor {self.floor_p50_us:,.0f} µs at p50 and"
            f" {self.floor_p99_us:,.0f} µs at p99, ceiling {self.ceiling_hz:,.0f} requests/s of one"
            " process"
        )
