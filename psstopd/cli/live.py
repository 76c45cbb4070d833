"""The live view of `psstopd run` on a terminal: one line a tick."""

import os
import sys
import time
from shlex import quote
from typing import TextIO

from psstopd.client.screen import cut, width_of
from psstopd.client.units import change, size
from psstopd.model import Sample
from psstopd.service.report import Report
from psstopd.words import counted, cure

_BIGGEST = 4
_EXAMPLE = "SELECT * FROM samples ORDER BY time DESC LIMIT 10"


class LiveView:
    """Writes to a terminal after every tick, to a person who runs psstopd as `euid`; lives as long as `psstopd run`."""

    def __init__(self, terminal: TextIO, journal_path: str, *, euid: int) -> None:
        self._terminal = terminal
        self._journal_path = journal_path
        self._euid = euid
        self._before: dict[str, int] = {}
        self._reasons: set[str] = set()

    def show(self, report: Report) -> None:
        """Write the line of one tick, cut to the width of the terminal, and a new reason for unreadable ones once."""
        self._terminal.write(self._line(report, width_of(self._terminal)) + "\n")
        for reason in report.unreadable:
            if reason not in self._reasons:
                self._terminal.write(f"  unreadable ({reason}): {cure(reason, self._euid)}\n")
        self._reasons = set(report.unreadable)
        self._before = {sample.name: sample.memory.pss for sample in report.tick.samples if sample.memory}
        self._terminal.flush()

    def say_goodbye(self) -> None:
        """Say where the journal is and how to look at it."""
        path = quote(self._journal_path)
        name = max(self._before, key=lambda name: self._before[name], default="NAME")
        self._terminal.write(
            f"\nstopped. Everything is in {path}; look at it with\n"
            f"  {_psstop()} history --journal {path} {'-- ' if name.startswith('-') else ''}{quote(name)}\n"
            f"  sqlite3 -readonly {path} {quote(_EXAMPLE)}\n"
        )

    def _line(self, report: Report, width: int | None) -> str:
        """Write what is always told, and as many of the biggest names as fit whole behind it."""
        line, between = cut("  ".join(self._totals(report)), width), "  "
        biggest = sorted(report.tick.samples, key=lambda sample: -sample.memory.pss if sample.memory else 0)
        for name in (self._one(sample) for sample in biggest[:_BIGGEST] if sample.memory):
            longer = f"{line}{between}{name}"
            if cut(longer, width) != longer:
                break
            line, between = longer, ", "
        return line

    def _totals(self, report: Report) -> list[str]:
        samples = report.tick.samples
        total = sum(sample.memory.pss for sample in samples if sample.memory)
        unreadable = sum(report.unreadable.values())
        return [
            time.strftime("%H:%M:%S", time.localtime(report.tick.time)),
            counted(len(samples), "name"),
            counted(report.health.processes, "process"),
            f"PSS {size(total)}",
            *([f"{unreadable} unreadable"] if unreadable else []),
            *([f"{report.health.pending_points} pending"] if report.health.pending_points is not None else []),
            *(["journal not writable"] if report.trouble else []),
        ]

    def _one(self, sample: Sample) -> str:
        pss = sample.memory.pss if sample.memory else 0
        difference = pss - self._before.get(sample.name, pss)
        return f"{sample.name} {size(pss)}" + (f" ({change(difference)})" if difference else "")


def _psstop() -> str:
    """Name the client so that a shell finds it: by its path when it is in an environment that is not activated."""
    beside = os.path.join(os.path.dirname(sys.executable), "psstop")
    on_path = any(os.access(os.path.join(directory, "psstop"), os.X_OK) for directory in os.get_exec_path())
    return quote(beside) if not on_path and os.access(beside, os.X_OK) else "psstop"
