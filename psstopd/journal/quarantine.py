"""What an operator does with the lines that a server refused: look, send again, give up."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from psstopd.journal.files import connect, connect_read_only


class Row(NamedTuple):
    """One refused line with what the server said of it; `set_aside_at` in Unix seconds."""

    id: int
    line: str
    answer: str
    set_aside_at: int
    retry: int


class Quarantine:
    """The quarantine in a cursor file that exists; whoever opens it closes it. Raises sqlite3.Error where it can't.

    Every method takes the ids that it is about; none are all.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = connect_read_only(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self, ids: Sequence[int] = ()) -> list[Row]:
        """Give the lines in the order in which they were set aside."""
        select = f"SELECT {', '.join(Row._fields)} FROM quarantine{_where(ids)} ORDER BY id"
        return [Row(*row) for row in self._connection.execute(select, ids)]

    def retry(self, ids: Sequence[int] = ()) -> int:
        """Let the shipper send lines again; give how many."""
        return self._change(f"UPDATE quarantine SET retry = 1{_where(ids)}", ids)

    def drop(self, ids: Sequence[int] = ()) -> int:
        """Remove lines for good; give how many."""
        return self._change(f"DELETE FROM quarantine{_where(ids)}", ids)

    def _change(self, statement: str, ids: Sequence[int]) -> int:
        with closing(connect(self._path)) as connection:
            return connection.execute(statement, ids).rowcount


def _where(ids: Sequence[int]) -> str:
    return f" WHERE id IN ({', '.join('?' * len(ids))})" if ids else ""
