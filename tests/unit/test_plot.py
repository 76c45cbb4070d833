"""The plot as lines: small ones to the letter, and what holds for all."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.client.history.plot import ASCII, BRAILLE, GAP, RESTART, UNMEASURED, Canvas, Glyphs, Picture, plot
from psstopd.client.history.series import Point, gaps
from tests.timezone import UTC, timezone

MIB = 1 << 20
BEGIN = 1_795_294_800  # 21:00 UTC, 2026-11-21
EMPTY = " ⠀"


@pytest.fixture(autouse=True, scope="module")
def utc() -> Iterator[None]:
    """Let local time be UTC."""
    with timezone(UTC):
        yield


def point(time: int, value: int | None, *, spread: int = 0) -> Point:
    """Make up a moment; with a spread it is one of a rollup."""
    return Point(time, *((None,) * 3 if value is None else (value - spread, value, value + spread)))


def picture(points: list[Point], *, restarts: tuple[int, ...] = (), until: int | None = None) -> Picture:
    """Make up a picture that begins with its first point, and ends with its last unless `until` says otherwise."""
    end = points[-1].time if until is None else until
    times = [moment.time for moment in points]
    return Picture(points, gaps(times, end), restarts, times[0], end, "pss_bytes")


def ramp(*, restart: bool = False) -> list[Point]:
    """Make up an hour of growth from 1 MiB to 4 MiB, or of which the second half begins anew."""
    return [
        point(BEGIN + 60 * minute, MIB + 3 * MIB * (minute % 30 if restart else minute) // 60) for minute in range(61)
    ]


def test_growth_is_a_rising_line() -> None:
    """Values beside round sizes, times below round times, a line from corner to corner."""
    assert plot(picture(ramp()), width=40, height=8, glyphs=BRAILLE) == [
        "4 MiB ┤                            ⢀⡠⠤⠒⠊",
        "      │                      ⢀⣀⠤⠒⠒⠉⠁",
        "3 MiB ┤                 ⣀⠤⠤⠒⠊⠁",
        "      │           ⣀⣀⠤⠔⠊⠉",
        "2 MiB ┤     ⢀⣀⡠⠔⠒⠉",
        "1 MiB ┤⣀⡠⠤⠒⠉⠁",
        "      └┬───────────────┬────────────────",
        "     21:00           21:30",
    ]


def test_restarts_gaps_and_the_unmeasured_are_marked() -> None:
    """Each has its sign below the axis; no line goes over a gap or over what could not be measured."""
    points = [moment for moment in ramp(restart=True) if not BEGIN + 600 < moment.time < BEGIN + 1200]
    points = [point(moment.time, None) if moment.time == BEGIN + 3000 else moment for moment in points]

    assert plot(picture(points, restarts=(BEGIN + 1800,)), width=40, height=9, glyphs=ASCII) == [
        "2.5 MiB +              .              .",
        "        |           .:' :          .:' :",
        "2.0 MiB +          '    :       ..'    :",
        "        |               :    ..''      :",
        "1.5 MiB +   .:'         :  .:'         :",
        "1.0 MiB +.:'            ::'            :",
        "        ++--------------+---------------",
        "       21:00          21:30",
        "               ~~~~     ^         ?",
    ]


@pytest.mark.parametrize("value", [0, 5 * MIB])
def test_what_never_changes_is_a_level_line(value: int) -> None:
    """One value over an hour is drawn in one row."""
    points = [point(BEGIN + 60 * minute, value) for minute in range(61)]
    rows = plot(picture(points), width=60, height=10, glyphs=ASCII)[:-2]

    assert sum("..." in row or "'''" in row for row in rows) == 1


def test_one_sample_is_a_dot() -> None:
    """A name that has just been found has a plot too."""
    rows = plot(picture([point(BEGIN, 4096)]), width=30, height=6, glyphs=ASCII)[:-2]

    assert sum(character in ".':" for row in rows for character in row) == 1


def test_the_spread_of_rollups_is_drawn() -> None:
    """Five minutes are a bar from their lowest to their highest value, and a line goes from mean to mean."""
    points = [point(BEGIN, 2 * MIB), point(BEGIN + 300, 2 * MIB, spread=MIB), point(BEGIN + 600, 2 * MIB)]

    assert plot(picture(points), width=18, height=7, glyphs=ASCII)[:-2] == [
        "3 MiB +     :",
        "      |     :",
        "2 MiB +.....:.....",
        "      |     :",
        "1 MiB +     :",
    ]


def test_dots_are_where_braille_has_them() -> None:
    """A character holds two columns of four dots."""
    canvas = Canvas(BRAILLE, 2, 2)
    canvas.bar(0, 0, 7)
    canvas.bar(1, 3, 4)
    canvas.connect(2, 0, 3, 7)

    assert canvas.lines() == ["⣇⢸", "⡏⡸"]


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Make up any series: hours or years, with gaps, unmeasured moments and restarts."""
    steps = draw(st.lists(st.sampled_from([0, 10, 10, 10, 300, 5000]), min_size=1, max_size=60))
    sizes = st.none() | st.integers(0, 2**44)
    points, time = [], BEGIN
    for step in steps:
        time += step
        points.append(point(time, draw(sizes), spread=draw(st.integers(0, 2**20))))
    points.append(point(time + 10, draw(st.integers(0, 2**62))))
    restarts = tuple(moment.time for moment in points if draw(st.booleans()))
    return picture(points, restarts=restarts, until=draw(st.integers(time + 10, time + 10**8)))


WIDTHS, HEIGHTS, GLYPHS = st.integers(1, 200), st.integers(1, 40), st.sampled_from([BRAILLE, ASCII])


@given(pictures(), WIDTHS, HEIGHTS, GLYPHS)
def test_it_fits(shown: Picture, width: int, height: int, glyphs: Glyphs) -> None:
    """However small the terminal, no line is wider than asked, and there are no more lines than four or `height`."""
    lines = plot(shown, width=width, height=height, glyphs=glyphs)

    assert max(map(len, lines)) <= width
    assert len(lines) <= max(4, height)


@given(pictures(), st.integers(20, 200), HEIGHTS, GLYPHS)
def test_something_is_drawn_at_the_extremes(shown: Picture, width: int, height: int, glyphs: Glyphs) -> None:
    """The highest value is in the highest row with dots and the lowest in the lowest, at their times."""
    canvas, margin = canvas_of(plot(shown, width=width, height=height, glyphs=glyphs), glyphs)
    measured = [moment for moment in shown.points if moment.low is not None and moment.high is not None]
    drawn = [row for row, line in enumerate(canvas) if line.strip(EMPTY)]
    columns = width - margin

    for row, extreme in (
        (drawn[0], max(measured, key=lambda moment: moment.high or 0)),
        (drawn[-1], min(measured, key=lambda moment: moment.low or 0)),
    ):
        column = column_of(shown, extreme.time, columns, len(glyphs.dots))
        assert canvas[row][column] not in EMPTY


@given(pictures(), st.integers(20, 200), HEIGHTS, GLYPHS)
def test_gaps_are_empty_and_marked(shown: Picture, width: int, height: int, glyphs: Glyphs) -> None:
    """Between the samples around a gap there is no dot, and a sign below says why."""
    lines = plot(shown, width=width, height=height, glyphs=glyphs)
    canvas, margin = canvas_of(lines, glyphs)
    columns = width - margin

    for begin, end in shown.gaps:
        first, last = (column_of(shown, time, columns, len(glyphs.dots)) for time in (begin, end))
        assert all(line[first + 1 : last].strip(EMPTY) == "" for line in canvas)
    marks = lines[-1] if shown.gaps or shown.restarts else ""
    assert (GAP in marks) or not shown.gaps or {RESTART, UNMEASURED} & {*marks}


def canvas_of(lines: list[str], glyphs: Glyphs) -> tuple[list[str], int]:
    """Give the rows of dots right of the axis, all of one width, and the width of what is left of them."""
    floor = next(
        index
        for index, line in enumerate(lines)
        if line.lstrip().startswith(glyphs.corner + glyphs.floor)
        or line.lstrip().startswith(glyphs.corner + glyphs.time_tick)
    )
    margin = lines[floor].index(glyphs.corner) + 1
    return [line[margin:].ljust(len(lines[floor]) - margin) for line in lines[:floor]], margin


def column_of(shown: Picture, time: int, columns: int, dots: int) -> int:
    """Give the column of characters in which a time lies."""
    return (time - shown.since) * (columns * dots - 1) // max(1, shown.until - shown.since) // dots
