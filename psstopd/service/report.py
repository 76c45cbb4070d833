"""What the daemon says of itself after a tick: as fields for the journal, as words for systemd and the terminal."""

import time
from typing import NamedTuple

from psstopd.journal.cursor import Delivery
from psstopd.model import Health, Tick, Unreadable
from psstopd.words import clock, counted


class Report(NamedTuple):
    """One tick and how things stood after it.

    `trouble` is what keeps the journal from taking ticks; `ships` tells whether anybody is there to send them.
    """

    tick: Tick
    unreadable: dict[Unreadable, int]
    trouble: str | None
    delivery: Delivery | None
    ships: bool

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
            parts += [] if self.ships else ["no shipper runs"]
        parts += [f"{count} unreadable ({reason})" for reason, count in self.unreadable.items()]
        parts += obstacles(self.delivery)
        if self.trouble is not None:
            parts.append(f"journal not writable: {self.trouble}")
        return "; ".join(parts)


def obstacles(delivery: Delivery | None) -> list[str]:
    """Say what is in the way of delivery."""
    if delivery is None:
        return []
    parts = [] if delivery.error is None else [f"not delivering: {delivery.error}"]
    return [*parts, f"clock {clock(delivery.clock_ahead)}"] if delivery.clock_ahead else parts
