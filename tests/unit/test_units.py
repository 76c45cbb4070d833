"""Sizes, changes and durations as people read them."""

import pytest

from psstopd.client.units import change, size
from psstopd.words import duration

MIB = 1 << 20


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (10240, "10.0 KiB"),
        (99.94 * 1024, "99.9 KiB"),
        (99.96 * 1024, "100 KiB"),
        (999 * 1024, "999 KiB"),
        (999.6 * 1024, "1.0 MiB"),
        (393 * MIB, "393 MiB"),
        (3 << 40, "3.0 TiB"),
        (1 << 63, "8192 PiB"),
        (-5 * MIB, "-5.0 MiB"),
    ],
)
def test_size(count: float | None, text: str) -> None:
    """Three digits or so and a unit; a dash for what was not measured, which is not 0."""
    assert size(None if count is None else int(count)) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (2048, "+2.0 KiB"), (-2048, "-2.0 KiB")])
def test_change(count: int, text: str) -> None:
    """Growth has a plus."""
    assert change(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_duration(seconds: float, text: str) -> None:
    """The largest unit of which there are two."""
    assert duration(seconds) == text
