"""Which ticks the server has: two cursors into the queue, so that new ticks need not wait for an old backlog."""

from typing import NamedTuple

_ANY = 2**63 - 1  # no id is past it


class Position(NamedTuple):
    """Every tick up to `cursor` was accepted, but for the backlog: those behind `backlog_after`, up to `backlog_until`.

    There is no backlog where these two are equal. The second cursor is `backlog_after`: it moves from old to new.
    """

    cursor: int = 0
    backlog_after: int = 0
    backlog_until: int = 0

    @property
    def has_backlog(self) -> bool:
        """Tell whether something was left behind."""
        return self.backlog_after < self.backlog_until

    @property
    def complete(self) -> int:
        """The tick up to which nothing is missing."""
        return min(self.cursor, self.backlog_after) if self.has_backlog else self.cursor

    def run(self, tick_id: int) -> tuple[bool, int]:
        """Tell whether a tick was accepted, and the last id up to which the same holds for all behind it."""
        if tick_id <= self.complete:
            return True, self.complete
        if self.has_backlog and tick_id <= self.backlog_until:
            return False, self.backlog_until
        return (True, self.cursor) if tick_id <= self.cursor else (False, _ANY)

    def leaving(self, after: int, until: int) -> "Position":
        """Make the ticks behind `after` up to `until` backlog.

        There is only one: what was accepted between it and an earlier one is sent again, which changes nothing.
        """
        if after >= until:
            return self
        if self.has_backlog:
            after, until = min(after, self.backlog_after), max(until, self.backlog_until)
        return Position(max(self.cursor, until), after, until)

    def sent(self, tick_id: int) -> "Position":
        """Move the first cursor: everything new up to `tick_id` was accepted."""
        return self._replace(cursor=tick_id)

    def backfilled(self, tick_id: int) -> "Position":
        """Move the second cursor."""
        return self._replace(backlog_after=min(tick_id, self.backlog_until))
