"""Keep the list of names that have a series: the config's for good, found ones while they live and an hour on."""

from collections.abc import Iterable

REST_AFTER_SECONDS = 3600
OTHER = "other"


class Roster:
    """Which names are reported; lives as long as the daemon.

    At most `max_names` found names have a series of their own, and OTHER takes the place of none.
    """

    def __init__(self, fixed: Iterable[str], *, max_names: int) -> None:
        self.fixed = tuple(fixed)
        self._max_names = max_names
        self._last_seen: dict[str, float] = {}  # found names

    def admit(self, found: Iterable[str], now: float) -> None:
        """Note which names have processes now, those that matter most first; give rest to the long unseen ones.

        `now` is in seconds on any clock that does not step.
        """
        self._last_seen = {name: seen for name, seen in self._last_seen.items() if now - seen < REST_AFTER_SECONDS}
        for name in found:
            if name in self.fixed:
                continue
            if name in self._last_seen or self._own_series < self._max_names:
                self._last_seen[name] = now
            elif OTHER not in self.fixed:
                self._last_seen[OTHER] = now

    @property
    def _own_series(self) -> int:
        return len(self._last_seen) - (OTHER in self._last_seen)

    def series(self, name: str) -> str:
        """Give the name under which `name` is summed."""
        return name if name in self._last_seen or name in self.fixed else OTHER

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that gets a point on this tick."""
        return self.fixed + tuple(self._last_seen)
