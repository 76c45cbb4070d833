"""A batch as the sequence of its lines, which are never all in memory as text unless it has to be divided."""

from collections.abc import Iterator, Sequence
from typing import overload

from psstopd.delivery.lineprotocol import Encoder
from psstopd.journal.reader import StoredTick


class Batch(Sequence[str]):
    """The lines of some ticks, written anew whenever they are asked for; lives while it is being sent."""

    def __init__(self, encoder: Encoder, ticks: Sequence[StoredTick]) -> None:
        self._encoder = encoder
        self._ticks = ticks

    def __len__(self) -> int:
        return sum(tick.points for tick in self._ticks)

    def __iter__(self) -> Iterator[str]:
        return (line for tick in self._ticks for line in self._encoder.lines(tick))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return list(self)[index]
