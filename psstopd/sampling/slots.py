"""Give the largest processes of each name a small number of their own, so that no pid becomes a tag."""

from collections.abc import Callable, Iterable, Sequence

from psstopd.model import Identity, ProcessSample, Reading


class Slots:
    """The slots of all names; lives as long as the daemon. A slot is held while its process lives."""

    def __init__(self, per_name: int) -> None:
        self._per_name = per_name
        self._held: dict[str, dict[Identity, int]] = {}

    def assign(
        self, name: str, readings: Callable[[], Sequence[Reading]], alive: Iterable[Identity]
    ) -> tuple[ProcessSample, ...]:
        """Give the `per_name` largest of `readings` with their slots: the smallest free ordinal for a newcomer."""
        if self._per_name == 0:
            return ()
        living = set(alive)
        held = {identity: slot for identity, slot in self._held.get(name, {}).items() if identity in living}
        largest = sorted(readings(), key=lambda reading: -reading.memory.pss)[: self._per_name]
        for reading in largest:
            held.setdefault(reading.identity, _smallest_free(held.values()))
        self._held[name] = held
        return tuple(ProcessSample(held[reading.identity], reading.identity, reading.memory) for reading in largest)

    def forget(self, names: Iterable[str]) -> None:
        """Drop the slots of every name that is not among `names`."""
        self._held = {name: self._held[name] for name in names if name in self._held}


def _smallest_free(taken: Iterable[int]) -> int:
    used = set(taken)
    return next(slot for slot in range(len(used) + 1) if slot not in used)
