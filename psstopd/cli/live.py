"""The live view of `psstopd run` on a terminal: one line a tick."""

import os
import time
from typing import TextIO

from psstopd.cli.units import change, size
from psstopd.model import Sample
from psstopd.service.report import CURES, Report

_BIGGEST = 4
_EXAMPLE = "SELECT * FROM samples ORDER BY time DESC LIMIT 10"


class LiveView:
    """Writes to a terminal after every tick; lives as long as `psstopd run`."""

    def __init__(self, terminal: TextIO, journal_path: str) -> None:
        self._terminal = terminal
        self._journal_path = journal_path
        self._before: dict[str, int] = {}
        self._reasons: set[str] = set()

    def show(self, report: Report) -> None:
        """Write the line of one tick, cut to the width of the terminal, and a new reason for unreadable ones once."""
        self._terminal.write(self._line(report)[: self._width()] + "\n")
        for reason in report.unreadable:
            if reason not in self._reasons:
                self._terminal.write(f"  unreadable ({reason}): {CURES[reason]}\n")
        self._reasons = set(report.unreadable)
        self._before = {sample.name: sample.memory.pss for sample in report.tick.samples if sample.memory}
        self._terminal.flush()

    def say_goodbye(self) -> None:
        """Say where the journal is and how to look at it."""
        path = self._journal_path
        name = max(self._before, key=lambda name: self._before[name], default="NAME")
        self._terminal.write(
            f"\nstopped. Everything is in {path}; look at it with\n"
            f"  psstop history --journal {path} '{name}'\n"
            f"  sqlite3 -readonly {path} '{_EXAMPLE}'\n"
        )

    def _width(self) -> int | None:
        try:
            return os.get_terminal_size(self._terminal.fileno()).columns or None
        except OSError:
            return None

    def _line(self, report: Report) -> str:
        samples = report.tick.samples
        total = sum(sample.memory.pss for sample in samples if sample.memory)
        biggest = sorted(samples, key=lambda sample: -sample.memory.pss if sample.memory else 0)[:_BIGGEST]
        unreadable = sum(report.unreadable.values())
        parts = [
            time.strftime("%H:%M:%S", time.localtime(report.tick.time)),
            f"{len(samples)} names",
            f"{report.health.processes} processes",
            f"PSS {size(total)}",
            *([f"{unreadable} unreadable"] if unreadable else []),
            *([f"{report.health.pending_points} pending"] if report.health.pending_points is not None else []),
            *(["journal not writable"] if report.trouble else []),
            ", ".join(self._one(sample) for sample in biggest if sample.memory),
        ]
        return "  ".join(parts)

    def _one(self, sample: Sample) -> str:
        pss = sample.memory.pss if sample.memory else 0
        difference = pss - self._before.get(sample.name, pss)
        return f"{sample.name} {size(pss)}" + (f" ({change(difference)})" if difference else "")
