"""The past as people ask for it: one name's course over ticks and rollups, and all names at a glance."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from psstopd.journal.files import connect_read_only, one_moment
from psstopd.journal.schema import ROLLUP_FIELDS, ROLLUP_SECONDS, SAMPLE_FIELDS

Values = tuple[int | None, ...]

# What of a tick is left in its rollup: the means, and these.
_OF_ROLLUP = {"unreadable": "unreadable_max", "starts_total": "starts_total"}
KEPT_FIELDS = tuple(field for field in SAMPLE_FIELDS if field in ROLLUP_FIELDS or field in _OF_ROLLUP)
_OLDER = 12  # a change may begin at a rollup that is older than its span by this part of it


class Moment(NamedTuple):
    """One name at one tick, or over five minutes of which only the rollup is left; then `time` is their begin.

    `values` follow SAMPLE_FIELDS: of a rollup the means, the most that were unreadable at once, the last starts_total,
    and None for what it lacks. `lows` and `highs` follow ROLLUP_FIELDS; a tick has none.
    """

    time: int
    values: Values
    lows: Values = ()
    highs: Values = ()

    @property
    def is_rollup(self) -> bool:
        """Whether this sums up five minutes."""
        return bool(self.lows)


class Glance(NamedTuple):
    """One name at the newest tick, `before` at each of the spans asked for, and its `recent` means; None: not known."""

    name: str
    now: int | None
    before: Values
    recent: Values


class Overview(NamedTuple):
    """All names, and the time of the newest tick, which is their now; None in an empty journal."""

    time: int | None
    names: list[Glance]


class HistoryReader:
    """A reader of the journal at `path`, beside its writer; whoever opens it closes it.

    Holds no transaction between calls, so that the writer's checkpoints go through. Raises sqlite3.OperationalError
    when the file is missing or may not be read. What is no number in a foreign or damaged file counts as not measured.
    """

    def __init__(self, path: str) -> None:
        self._connection = connect_read_only(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def knows(self, name: str) -> bool:
        """Tell whether anything has ever been recorded under a name."""
        return self._name_id(name) is not None

    def course(self, name: str, since: int, until: int) -> list[Moment]:
        """Give one name from `since` to `until`, Unix seconds, by time: its ticks, and rollups from before the ticks.

        The five minutes in which the ticks begin come as a rollup too where their first ticks are gone.
        """
        with one_moment(self._connection):
            name_id = self._name_id(name)
            if name_id is None:
                return []
            return [*self._rollups(name_id, since, until), *self._ticks(name_id, since, until)]

    def _name_id(self, name: str) -> int | None:
        row = self._connection.execute("SELECT id FROM name WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def _ticks(self, name_id: int, since: int, until: int) -> Iterator[Moment]:
        for time, *values in self._connection.execute(_TICKS, (name_id, since, until)):
            yield Moment(time, _numbers(values))

    def _rollups(self, name_id: int, since: int, until: int) -> Iterator[Moment]:
        """Look the five minutes up one by one: rollups are clustered by time, and all names between would be read."""
        begin, end = self._connection.execute(_SLOTS, (since,)).fetchone()
        if begin is None:
            return
        span = {"name_id": name_id, "begin": begin, "end": min(until, end, self._rolled_up_until())}
        count = len(ROLLUP_FIELDS)
        for time, *row in self._connection.execute(_ROLLUPS, span):
            numbers = _numbers(row)
            yield Moment(time, numbers[: -2 * count], numbers[-2 * count : -count], numbers[-count:])

    def _rolled_up_until(self) -> int:
        """Give the time up to which rollups have to stand in: to the oldest tick, nowhere while no tick has gone."""
        first_id, oldest = self._connection.execute("SELECT min(id), (SELECT min(time) FROM tick) FROM tick").fetchone()
        if first_id is None:
            return _EVER
        return -1 if first_id == 1 else int(oldest) - 1

    def overview(self, field: str, spans: Sequence[int], *, columns: int, column_seconds: int) -> Overview:
        """Give `field`, one of ROLLUP_FIELDS, of all names: now, each of `spans` seconds ago, and means up to now.

        Only now comes from a tick, all else from rollups: in a big journal these are a hundredth of the rows.
        """
        with one_moment(self._connection):
            names = self._connection.execute("SELECT id, name FROM name").fetchall()
            newest = self._connection.execute("SELECT id, time FROM tick ORDER BY id DESC LIMIT 1").fetchone()
            tick_id, now = newest or (0, 0)
            sizes = self._connection.execute(f"SELECT name_id, {field} FROM sample WHERE tick_id = ?", (tick_id,))
            current = dict(sizes)
            before = [self._at(field, now - span, span // _OLDER) for span in spans]
            recent = self._recent(field, now, columns, column_seconds)
        unknown = [None] * columns
        glances = [
            Glance(str(name), _number(current.get(key)), _values_of(key, before), tuple(recent.get(key, unknown)))
            for key, name in names
        ]
        return Overview(now if newest else None, glances)

    def _at(self, field: str, time: int, tolerance: int) -> dict[int, int | None]:
        """Give each name's mean of the five minutes around `time`, or of the nearest up to `tolerance` before."""
        span = (time - ROLLUP_SECONDS - tolerance, time)
        return {name_id: mean for name_id, _, mean in self._connection.execute(_AT.format(field=field), span)}

    def _recent(self, field: str, now: int, columns: int, column_seconds: int) -> dict[int, list[int | None]]:
        """Give each name's means over spans of `column_seconds`, the last of which ends with the rollup of now."""
        begin = (now // ROLLUP_SECONDS + 1) * ROLLUP_SECONDS - columns * column_seconds
        recent: dict[int, list[int | None]] = {}
        arguments = {"begin": begin, "end": now, "seconds": column_seconds}
        for name_id, column, mean in self._connection.execute(_RECENT.format(field=field), arguments):
            recent.setdefault(name_id, [None] * columns)[column] = mean
        return recent


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _numbers(row: Sequence[object]) -> Values:
    return tuple(map(_number, row))


def _values_of(key: int, tables: Sequence[dict[int, int | None]]) -> Values:
    return _numbers([table.get(key) for table in tables])


def _of_rollup(field: str) -> str:
    """Write what a rollup has for a field of a tick."""
    return f"{field}_sum / n" if field in ROLLUP_FIELDS else _OF_ROLLUP.get(field, "NULL")


_EVER = 2**63 - 1
_TICKS = (
    f"SELECT tick.time, {', '.join('sample.' + field for field in SAMPLE_FIELDS)}"
    " FROM tick JOIN sample ON sample.tick_id = tick.id AND sample.name_id = ?"
    " WHERE tick.time BETWEEN ? AND ? ORDER BY tick.time, tick.id"
)
# As two queries: SQLite reads one row for min() or max() alone, and all of them for both at once.
_SLOTS = "SELECT (SELECT min(time) FROM rollup WHERE time >= ?), (SELECT max(time) FROM rollup)"
_ROLLUPS = (
    "WITH RECURSIVE slot(time) AS"
    f" (SELECT :begin UNION ALL SELECT time + {ROLLUP_SECONDS} FROM slot WHERE time + {ROLLUP_SECONDS} <= :end)"
    f" SELECT rollup.time, {', '.join(map(_of_rollup, SAMPLE_FIELDS))},"
    f" {', '.join(f'{field}_{kind}' for kind in ('min', 'max') for field in ROLLUP_FIELDS)}"
    " FROM slot CROSS JOIN rollup ON rollup.time = slot.time AND name_id = :name_id WHERE rollup.time <= :end"
    " ORDER BY rollup.time"
)
# SQLite takes the other columns of max() from the row that has it (sqlite.org/lang_select.html, bare columns).
_AT = "SELECT name_id, max(time), {field}_sum / n FROM rollup WHERE time > ? AND time <= ? AND n > 0 GROUP BY name_id"
_RECENT = (
    "SELECT name_id, (time - :begin) / :seconds AS part, sum({field}_sum) / sum(n) FROM rollup"
    " WHERE time >= :begin AND time <= :end GROUP BY name_id, part"
)
