"""What the daemon says of itself after a tick: as fields for the journal, as words for systemd and the terminal."""

import time
from typing import NamedTuple

from psstopd.journal.cursor import Delivery
from psstopd.model import Health, Tick, Unreadable
from psstopd.words import clock, counted


class Report(NamedTuple):
    """One tick and how things stood after it. `trouble` is what keeps the journal from taking ticks."""

    tick: Tick
    unreadable: dict[Unreadable, int]
    trouble: str | None
    delivery: Delivery | None

    @property
    def health(self) -> Health:
        """The tick's own account."""
        return self.tick.health

    def words(self) -> str:
        """Say in one line what is watched, pending and wrong."""
        parts = [
            f"watching {counted(len(self.tick.samples), 'name')}, {counted(self.health.processes, 'process')}",
            f"last tick {time.strftime('%H:%M:%S', time.localtime(self.tick.time))}",
        ]
        if self.health.pending_points is not None:
            parts.append(f"{counted(self.health.pending_points, 'point')} pending")
        parts += [f"{count} unreadable ({reason})" for reason, count in self.unreadable.items()]
        if self.delivery is not None and self.delivery.error is not None:
            parts.append(f"not delivering: {self.delivery.error}")
        if self.delivery is not None and self.delivery.clock_ahead:
            parts.append(f"clock {clock(self.delivery.clock_ahead)}")
        if self.trouble is not None:
            parts.append(f"journal not writable: {self.trouble}")
        return "; ".join(parts)
