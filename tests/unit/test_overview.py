"""The table of all names: order, changes, curves, widths and colours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.client.colour import BOLD, GREEN, RED
from psstopd.client.history.overview import curve, lines
from psstopd.client.screen import cut
from psstopd.journal.history import Glance, Overview

MIB = 1 << 20
BLOCKS = "▁▂▃▄▅▆▇█"
NOW = 4_000_000_000  # not yet, so that the newest tick is never an old one
FLAT: tuple[int | None, ...] = (MIB,) * 24


def plain(_colour: str, text: str) -> str:
    """Paint nothing."""
    return text


def painted(colour: str, text: str) -> str:
    """Show what is painted how."""
    return f"<{colour}:{text}>"


def table(*glances: Glance, width: int | None = None) -> list[str]:
    """Write a table of PSS without colours."""
    return [*lines(Overview(NOW, [*glances]), "pss_bytes", width=width, paint=plain, blocks=BLOCKS)]


def test_a_name_is_a_line() -> None:
    """Now, the changes with their signs, the curve of the day, and the name; dashes where nothing is known."""
    rising = Glance("nginx", 24 * MIB, (23 * MIB, 25 * MIB, None), tuple(hour * MIB for hour in range(24)))
    resting = Glance("redis", None, (MIB, None, None), (None,) * 12 + (0,) * 12)

    assert table(rising, resting) == [
        "      NOW        1H       24H        7D  24 HOURS                 NAME",
        " 24.0 MiB  +1.0 MiB  -1.0 MiB         -  ▁▁▁▁▂▂▂▃▃▃▄▄▄▄▅▅▅▆▆▆▇▇▇█ nginx",
        "        -         -         -         -              ▁▁▁▁▁▁▁▁▁▁▁▁ redis",
    ]


def test_counts_have_no_unit() -> None:
    """Another field than a size is written as what it is."""
    overview = Overview(NOW, [Glance("nginx", 9, (7, 9, 12), (7,) * 24)])
    row = [*lines(overview, "processes", width=None, paint=plain, blocks=BLOCKS)][1]

    assert row.split()[:4] == ["9", "+2", "0", "-3"]


def test_changes_that_matter_have_a_colour() -> None:
    """Growth is red and decline green from a twentieth on; the heading is bold, and nothing else is painted."""
    overview = Overview(NOW, [Glance("nginx", 100 * MIB, (94 * MIB, 107 * MIB, 99 * MIB), FLAT)])
    heading, row = lines(overview, "pss_bytes", width=None, paint=painted, blocks=BLOCKS)

    assert heading.startswith(f"<{BOLD}:")
    assert row.count("<") == 2
    assert f"<{RED}: +6.0 MiB>" in row
    assert f"<{GREEN}: -7.0 MiB>" in row


@pytest.mark.parametrize(
    ("values", "hours", "drawn"),
    [
        ((0, 50, 100), 1, "▁▄█"),
        ((0, None, 100), 1, "▁ █"),
        ((100, 101, 100), 1, "▄▄▄"),
        ((0, 0, 0), 1, "▁▁▁"),
        ((None, None), 1, "  "),
        ((0, 100, None, 100, None, None), 2, "▁█ "),
        ((1, 2, 3), 0, ""),
        ((), 1, ""),
    ],
)
def test_curve(values: tuple[int | None, ...], hours: int, drawn: str) -> None:
    """From the least to the most, in parts of so many hours; noise is level, and nothing known is nothing drawn."""
    assert curve(values, hours, BLOCKS) == drawn


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.lists(NAMES, max_size=5), st.integers(1, 200))
def test_no_line_is_wider_than_the_terminal(names: list[str], width: int) -> None:
    """Whatever the names, a terminal that has room for the numbers never breaks a line, and is told nothing odd."""
    rows = table(*(Glance(name, 999 * MIB, (MIB, MIB, MIB), FLAT) for name in names), width=width)

    assert all(row.isprintable() for row in rows)
    assert all(cut(row, width) == row for row in rows if width > 44)


def test_an_old_now_is_said() -> None:
    """When the newest tick is not of these minutes, the last line says of when it is."""
    rows = [
        *lines(Overview(10**9, [Glance("a", 1, (1, 1, 1), FLAT)]), "pss_bytes", width=None, paint=plain, blocks=BLOCKS)
    ]

    assert rows[-1].startswith("now is the newest tick, of 2001-09-0")
