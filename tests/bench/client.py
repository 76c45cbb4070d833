"""What `psstop` takes beside others who tell the same of every process, in wall time from start to end.

Both of a pair run one after the other, A B A B, and each pair has its ratio, for the reason that tick.py gives: what
else the machine does comes and goes, and both of a pair feel it alike. Each is started as users start it, Python with
its own compiled files; what they write goes to /dev/null.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.crowd import TINY, Part, compiled, crowd
from tests.bench.table import Row, at_most, spread

FLOOR_BOUND, PS_MEM_BOUND, SMEMSTAT_BOUND = 1.5, 0.75, 0.15
MAPPED = (Part(250, 4, mappings=700),)  # as programs are that load many libraries: smaps has a paragraph for each
IMPORT_BOUND_MS = 15
_ROUNDS, _ROUNDS_SHORT = 25, 7
_TRIES = 5
_PSUTIL = """
import psutil
for process in psutil.process_iter():
    try:
        process.memory_full_info()
    except psutil.Error:
        pass
"""
_IMPORTS = "import psstopd.cli.client, psstopd.cli.table"  # all that `psstop` without arguments imports
# Where Python may not write its compiled files, it compiles ours anew on every start, which no installed one does.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

Command = Sequence[str]


class Pair(NamedTuple):
    """Seconds of two commands, one right after the other."""

    mine: float
    theirs: float


class Match(NamedTuple):
    """Two commands, over and over in turn; `bound` is how much of their time mine may take, if there is a bound."""

    mine: Command
    theirs: Command
    bound: float | None = None

    def play(self, rounds: int) -> list[Pair]:
        """Run both in turn; the first round only brings files into memory."""
        return [self._pair() for _ in range(1 + rounds)][1:]

    def _pair(self, tries: int = _TRIES) -> Pair:
        """Run both; again when the other fails, as ps_mem does when a process ends under its eyes."""
        mine = seconds(self.mine)
        try:
            return Pair(mine, seconds(self.theirs))
        except subprocess.CalledProcessError:
            if tries == 1:
                raise
            return self._pair(tries - 1)

    def row(self, pairs: Sequence[Pair]) -> Row:
        """Compare the ratio with its bound; without one, it is only told."""
        mine, theirs = (" ".join([Path(words[0]).name, *words[1:]]) for words in (self.mine, self.theirs))
        name = "a loop over psutil" if _PSUTIL in self.theirs else theirs
        milliseconds = [statistics.median(column) * 1e3 for column in zip(*pairs, strict=True)]
        note = f"{milliseconds[0]:.0f} ms to {milliseconds[1]:.0f} ms; pairs: {spread(ratios(pairs))}"
        if self.bound is None:
            return Row(f"  {mine} / {name}", f"{ratio(pairs):.4g} ({note})")
        return at_most(f"  {mine} / {name}", ratio(pairs), self.bound, note=note)


def bench(*, short: bool) -> list[Row]:
    """Compare the client with all others that are installed."""
    rounds = _ROUNDS_SHORT if short else _ROUNDS
    with tempfile.TemporaryDirectory() as directory, crowd(TINY, Path(directory)) as pids:
        floor = compiled("rollups.c", Path(directory))
        check(floor, len(pids))
        rows = [Row("wall time of a command / of another", f"over {len(pids)} processes and the machine's own")]
        rows += [_played(match, rounds) for match in _matches(str(floor))]
    with tempfile.TemporaryDirectory() as directory, crowd(MAPPED, Path(directory)) as pids:
        rows.append(
            Row("the same over processes with many mappings", f"{len(pids)}, {MAPPED[0].mappings} mappings each")
        )
        rows.append(_played(Match([script("psstop")], ["smemstat"], SMEMSTAT_BOUND), rounds))
    return [*rows, _imports(rounds)]


def _played(match: Match, rounds: int) -> Row:
    if shutil.which(match.theirs[0]) is None:
        return Row(f"  {match.theirs[0]}", "is not installed")
    return match.row(match.play(rounds))


def _matches(floor: str) -> list[Match]:
    table, programs = [script("psstop")], [script("psstop"), "--by", "program"]
    ps_mem = [script("ps_mem")]
    return [
        Match(table, [floor], FLOOR_BOUND),
        Match(table, ps_mem, PS_MEM_BOUND),
        Match(programs, ps_mem, PS_MEM_BOUND),
        Match(table, ["smem", "-t"], 0.25),
        Match(table, ["smemstat"], SMEMSTAT_BOUND),
        Match([floor], ["smemstat"]),  # the least that anybody who reads rollups could have there
        Match(table, [sys.executable, "-c", _PSUTIL], 0.9),
    ]


def compare(parts: Sequence[Part], other: str, rounds: int) -> list[Pair]:
    """Run `psstop` and another over one crowd in turn: "rollups.c" of this directory, or a script of this Python."""
    with tempfile.TemporaryDirectory() as directory, crowd(parts, Path(directory)) as pids:
        program = str(compiled(other, Path(directory))) if other.endswith(".c") else script(other)
        check(Path(program), len(pids))
        return Match([script("psstop")], [program]).play(rounds)


def check(other: Path, processes: int) -> None:
    """See that both read all of the crowd. Raises AssertionError."""
    rows = subprocess.run([script("psstop"), "--csv"], capture_output=True, check=True).stdout.splitlines()[1:]
    assert len(rows) >= processes, f"psstop: {len(rows)} of {processes}"
    if other.name == "rollups":
        reads = int(subprocess.run([other], capture_output=True, check=True).stderr)
        assert reads >= processes, f"rollups.c: {reads} of {processes}"


def seconds(command: Command) -> float:
    """Run a command and give the wall time from its start to its end. Raises CalledProcessError when it fails."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENVIRONMENT, check=True)
    return time.perf_counter() - began


def script(name: str) -> str:
    """Give the path of a command that is installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def ratios(pairs: Sequence[Pair]) -> list[float]:
    """Give the ratio of each pair."""
    return [pair.mine / pair.theirs for pair in pairs]


def ratio(pairs: Sequence[Pair]) -> float:
    """Give the median of the pairs' ratios."""
    return statistics.median(ratios(pairs))


def _imports(rounds: int) -> Row:
    """Take the start of a bare Python from that of one that imports what the plain table does."""
    pairs = Match([sys.executable, "-c", _IMPORTS], [sys.executable, "-c", "pass"]).play(2 * rounds)
    differences = [(pair.mine - pair.theirs) * 1e3 for pair in pairs]
    return at_most(
        "imports of the plain table",
        statistics.median(differences),
        IMPORT_BOUND_MS,
        unit=" ms",
        note=f"pairs: {spread(differences)}",
    )
