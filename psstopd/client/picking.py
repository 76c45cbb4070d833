"""Which processes a command is about: `-p NAME`, exact or as a glob, or a pid, or pids with commas as in ps_mem."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from psstopd.sampling.names import printable

_GLOB = "*?["


class Picks:
    """What was asked for on the command line; lives for one command."""

    def __init__(self, picks: Iterable[str]) -> None:
        self._all = frozenset(picks)
        self._pids = {pid for pick in self._all if pick.replace(",", "").isdecimal() for pid in pick.split(",")}
        self._globs = [pick for pick in self._all if any(sign in pick for sign in _GLOB)]

    def wants(self, pid: int, name: bytes) -> bool:
        """Tell whether a process is picked: by its pid, or by its name as psstop writes it."""
        text = printable(name)
        return text in self._all or str(pid) in self._pids or any(fnmatchcase(text, glob) for glob in self._globs)
