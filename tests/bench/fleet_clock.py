"""The time of a simulated fleet, the same in every process of a bench, and faster than time if need be."""

import time
from typing import NamedTuple


class Clock(NamedTuple):
    """Virtual Unix time that runs `speed` times as fast as the monotonic clock, which all processes share."""

    start: float  # virtual Unix seconds
    started: float  # time.monotonic() at that moment
    speed: float

    def now(self) -> float:
        """Give the virtual Unix time."""
        return self.start + (time.monotonic() - self.started) * self.speed

    def until(self, moment: float) -> float:
        """Give the real seconds that are left until a virtual moment, 0 when it is past."""
        return max(0.0, (moment - self.now()) / self.speed)
