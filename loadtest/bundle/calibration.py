"""The generator's own floor and ceiling on a machine, as a run keeps them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """The generator, measured with a server that does nothing but reply.

    Attributes:
        floor_p50_us: Service time at a low rate: no server can be measured below it.
        floor_p99_us: The same at p99; its distance from the p50 is the noise of the machine.
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
