"""Look at the journal as the queue that it is for the server: what was delivered, what waits, what is in the way."""

from typing import NamedTuple

from psstopd.journal.cursor import Delivery, read_delivery
from psstopd.journal.position import Position
from psstopd.journal.writer import Journal
from psstopd.service.shipping import Shipper


class QueueState(NamedTuple):
    """The queue at one moment; everything is None where there is no server to deliver to.

    `oldest` is the time of the oldest pending point.
    """

    delivered: Position | None = None
    points: int | None = None
    oldest: int | None = None
    delivery: Delivery | None = None

    def age(self, now: int) -> int | None:
        """Give the age of the oldest pending point in seconds, 0 when none is pending."""
        return None if self.points is None else max(0, now - (now if self.oldest is None else self.oldest))

    @property
    def errors_total(self) -> int | None:
        """Count the requests that were not accepted."""
        return self.delivery.errors_total if self.delivery else None if self.delivered is None else 0

    @property
    def quarantined_total(self) -> int | None:
        """Count the points that were set aside."""
        return self.delivery.quarantined_total if self.delivery else None if self.delivered is None else 0


class Queue:
    """Puts together what the journal and the shipper's cursor file say; lives as long as the daemon."""

    def __init__(self, journal: Journal, journal_path: str, shipper: Shipper) -> None:
        self._journal = journal
        self._path = journal_path
        self._shipper = shipper

    def look(self) -> QueueState:
        """Give the state now; a cursor into another journal than this one counts as none."""
        if not self._shipper.delivers:
            return QueueState()
        delivery = read_delivery(self._path)
        known = delivery is not None and delivery.journal_id == self._journal.id
        delivered = delivery.position if delivery is not None and known else Position()
        return QueueState(delivered, *self._journal.pending(delivered), delivery)
