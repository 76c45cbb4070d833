"""Draw a series as lines of text: two by four dots in each character, axes, and a row of marks below."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from psstopd.client.history.axis import Tick, time_ticks, value_ticks
from psstopd.client.history.series import Point, Span

RESTART, GAP, UNMEASURED = "^", "~", "?"
_NARROW = 8  # columns of dots, below which the labels of the values give way
_COLUMNS_A_TIME = 10  # a label and some room


class Glyphs(NamedTuple):
    """What to draw with. A character of dots is `cells[bits]`; `dots` are the bits of its columns, lowest dot first."""

    cells: str
    dots: tuple[tuple[int, ...], ...]
    line: str
    tick: str
    floor: str
    time_tick: str
    corner: str


BRAILLE = Glyphs(
    cells=" " + "".join(map(chr, range(0x2801, 0x2900))),  # Unicode 3.0: dot n is bit n - 1, dots 7 and 8 the lowest
    dots=((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)),
    line="│",
    tick="┤",
    floor="─",
    time_tick="┬",
    corner="└",
)
ASCII = Glyphs(cells=" .':", dots=((0x01, 0x02),), line="|", tick="+", floor="-", time_tick="+", corner="+")


class Picture(NamedTuple):
    """What is to be seen: points by time, spans without any, times of restarts; all between `since` and `until`."""

    points: Sequence[Point]
    gaps: Sequence[Span]
    restarts: Sequence[int]
    since: int
    until: int
    field: str

    @property
    def unmeasured(self) -> list[int]:
        """The times at which there was nothing to measure."""
        return [point.time for point in self.points if point.value is None]


class Canvas:
    """Dots in columns from the left and rows from below; lives for one plot."""

    def __init__(self, glyphs: Glyphs, columns: int, rows: int) -> None:
        self.glyphs = glyphs
        self._rows = rows
        self.width, self.height = columns * len(glyphs.dots), rows * len(glyphs.dots[0])
        self._columns = [0] * self.width  # a bit for each dot

    def bar(self, x: int, low: int, high: int) -> None:
        """Set the dots of one column from `low` to `high`."""
        self._columns[x] |= (2 << high) - (1 << low)

    def connect(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Draw a line to the right without a hole in it."""
        last = y
        for column in range(x, to_x + 1):
            here = to_y if column == to_x else y + (to_y - y) * (column - x) // (to_x - x)
            self.bar(column, min(last + 1, here), max(last - 1, here))
            last = here

    def lines(self) -> list[str]:
        """Write the dots, the highest row first."""
        wide, high = len(self.glyphs.dots), len(self.glyphs.dots[0])
        return [
            "".join(self._cell(self._columns[x : x + wide], row * high) for x in range(0, self.width, wide))
            for row in reversed(range(self._rows))
        ]

    def _cell(self, columns: Sequence[int], lowest: int) -> str:
        bits = 0
        for column, dots in zip(columns, self.glyphs.dots, strict=True):
            bits |= sum(dot for index, dot in enumerate(dots) if column >> lowest + index & 1)
        return self.glyphs.cells[bits]


class Scale(NamedTuple):
    """Where times and values lie on a canvas; each lies on it if it is in the span and between the outermost ticks."""

    picture: Picture
    canvas: Canvas
    bottom: int
    top: int

    def x(self, time: int) -> int:
        """Give the column of dots of a time."""
        since, until = self.picture.since, self.picture.until
        return (time - since) * (self.canvas.width - 1) // max(1, until - since)

    def y(self, value: int) -> int:
        """Give the row of dots of a value, the lowest being 0."""
        return (value - self.bottom) * (self.canvas.height - 1) // (self.top - self.bottom)


def plot(picture: Picture, *, width: int, height: int, glyphs: Glyphs) -> list[str]:
    """Draw a picture of which something was measured, no wider than `width`, in `height` lines or four."""
    has_marks = bool(picture.gaps or picture.restarts or picture.unmeasured)
    rows = max(1, height - 2 - has_marks)
    lows = [point.low for point in picture.points if point.low is not None]
    highs = [point.high for point in picture.points if point.high is not None]
    ticks = value_ticks(min(lows), max(highs), picture.field, at_most=rows // 2 + 1)
    margin = max(len(tick.label) for tick in ticks) + 2
    margin = margin if width - margin >= _NARROW else 1
    canvas = Canvas(glyphs, max(1, width - margin), rows)
    scale = Scale(picture, canvas, ticks[0].value, ticks[-1].value)
    _draw(scale)
    lines = _with_labels(canvas.lines(), ticks, scale, margin)
    marks = [" " * margin + _marks(scale)] if has_marks else []
    return [line.rstrip()[:width] for line in (*lines, *_floor(scale, glyphs, margin), *marks)]


def _draw(scale: Scale) -> None:
    """Draw each moment from its lowest to its highest value, and a line between their means, but over no gap."""
    before: tuple[int, int] | None = None
    ends = {begin for begin, _ in scale.picture.gaps}
    for point in scale.picture.points:
        if point.low is None or point.value is None or point.high is None:
            before = None
            continue
        here = scale.x(point.time), scale.y(point.value)
        scale.canvas.bar(here[0], scale.y(point.low), scale.y(point.high))
        if before is not None:
            scale.canvas.connect(*before, *here)
        before = None if point.time in ends else here


def _with_labels(lines: Sequence[str], ticks: Iterable[Tick], scale: Scale, margin: int) -> list[str]:
    """Write the values beside their rows."""
    glyphs = scale.canvas.glyphs
    high = len(glyphs.dots[0])
    labels = {len(lines) - 1 - scale.y(tick.value) // high: tick.label for tick in reversed([*ticks])}
    if margin == 1:
        return [(glyphs.tick if row in labels else glyphs.line) + line for row, line in enumerate(lines)]
    return [
        f"{labels.get(row, ''):>{margin - 2}} {glyphs.tick if row in labels else glyphs.line}{line}"
        for row, line in enumerate(lines)
    ]


def _floor(scale: Scale, glyphs: Glyphs, margin: int) -> tuple[str, str]:
    """Write the axis of time: a line with ticks, and below it as many of their labels as have room."""
    picture, columns = scale.picture, scale.canvas.width // len(glyphs.dots)
    floor, labels = [glyphs.floor] * columns, ""
    for tick in time_ticks(picture.since, picture.until, at_most=columns // _COLUMNS_A_TIME):
        column = scale.x(tick.value) // len(glyphs.dots)
        begin = max(0, margin + column - len(tick.label) // 2)
        if (begin <= len(labels) and labels) or begin + len(tick.label) > margin + columns:
            continue
        floor[column] = glyphs.time_tick
        labels = f"{labels:{begin}}{tick.label}"
    return " " * (margin - 1) + glyphs.corner + "".join(floor), labels


def _marks(scale: Scale) -> str:
    """Write a sign below every column with a gap, without a measured value, or with a restart; the last wins."""
    picture, wide = scale.picture, len(scale.canvas.glyphs.dots)
    marks = [" "] * (scale.canvas.width // wide)
    for begin, end in picture.gaps:
        first, last = (scale.x(begin) + wide) // wide, scale.x(end) // wide - (end < picture.until)
        for column in range(first, last + 1) if first <= last else [scale.x(end) // wide]:
            marks[column] = GAP
    for sign, times in ((UNMEASURED, picture.unmeasured), (RESTART, picture.restarts)):
        for time in times:
            marks[scale.x(time) // wide] = sign
    return "".join(marks)
