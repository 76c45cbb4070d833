"""`psstop show`: what the memory of a program or a process is made of, mapping by mapping."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from psstopd import exits
from psstopd.client.mappings import machine as show_machine
from psstopd.client.mappings import text as show_text
from psstopd.client.mappings.findings import Findings, Shown
from psstopd.client.mappings.table import arranged, parts, summed, thread_stacks, total
from psstopd.client.picking import Picks
from psstopd.client.waiting import ProgressBar
from psstopd.exits import CommandError
from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.mappings import read_mappings
from psstopd.kernel.procfs import Procfs
from psstopd.kernel.threads import read_threads
from psstopd.model import Identity, Reading, Unreadable
from psstopd.sampling.names import full_name, printable
from psstopd.sampling.sharing import SharedSpaces
from psstopd.sampling.snapshot import Seen, take
from psstopd.words import cure, withheld_from_root


def main(options: argparse.Namespace) -> int:
    """Print the mappings of the processes that are meant, summed."""
    with ProgressBar(sys.stderr) as bar:
        findings = look(options.target, bar)
        if options.exact:
            findings = _exactly(findings, bar)
    shown, rest = arranged(findings.rows, options.sort, options.number)
    if rest:
        shown.insert(0, total(rest, f"[{len(rest)} smaller ones]"))
    write = show_machine.write_json if options.json else show_machine.write_csv if options.csv else show_text.write
    write(findings, shown, rest)
    return exits.OK


def look(targets: list[str], bar: ProgressBar) -> Findings:
    """Read the processes that `targets` name, each address space once. Raises CommandError when there are none."""
    procfs = Procfs()
    seen = _seen(procfs, targets, bar)
    spaces, repeated = _once(procfs, [one for one in seen if one.space is not None])
    unreadable = [one.unreadable for one in seen if one.unreadable is not None]
    shown = []
    for number, one in enumerate(spaces):
        bar.at("reading mappings", number / len(spaces))
        try:
            shown.append(_read(procfs, one))
        except (ProcessGone, NoAddressSpace):
            continue
        except AccessDenied:
            unreadable.append(Unreadable.DENIED)
        except Unparseable:
            unreadable.append(Unreadable.UNPARSEABLE)
    if not shown:
        raise CommandError(_nothing(targets, unreadable), exits.FAILED)
    return _findings(shown, unreadable, repeated=repeated)


def _seen(procfs: Procfs, targets: list[str], bar: ProgressBar) -> list[Seen]:
    """Find the processes and read their rollups; say which of the targets name none."""
    picks, looked_at = Picks(targets), count()
    processes = len(procfs.pids()) or 1

    def wants(pid: int, name: bytes) -> bool:
        bar.at("reading processes", min(1.0, next(looked_at) / processes))
        return picks.wants(pid, name)

    seen = take(procfs, lambda pid: full_name(procfs, pid, procfs.comm(pid)), wants)
    for target in targets:
        if seen and not any(Picks([target]).wants(one.pid, one.name) for one in seen):
            print(_nothing([target], []), file=sys.stderr)
    return seen


def _once(procfs: Procfs, seen: list[Seen]) -> tuple[list[Seen], int]:
    """Leave out, and count, processes that go on in the address space of an older one, which has all their memory."""
    found: dict[Identity, Seen] = {}
    for one in seen:
        with suppress(ProcessGone):
            found[procfs.stat(one.pid).identity] = one
    readings = [
        Reading(identity, one.space.memory, one.space.span) for identity, one in found.items() if one.space is not None
    ]
    repeated = SharedSpaces().repeated(readings)
    return [one for identity, one in found.items() if identity not in repeated], len(repeated)


def _read(procfs: Procfs, one: Seen) -> Shown:
    assert one.space is not None  # noqa: S101 - for mypy: only such are read
    threads = read_threads(procfs, one.pid)
    return Shown(one.pid, printable(one.name), one.space.memory, read_mappings(procfs, one.pid), threads)


def _findings(shown: list[Shown], unreadable: list[Unreadable], *, repeated: int) -> Findings:
    their_parts = [parts(one.space, by_thread=len(shown) == 1) for one in shown]
    rows = summed(zip((one.mappings for one in shown), their_parts, strict=True))
    stacks = sum(len(thread_stacks(one.space)) for one in shown)
    threads = sum(thread.tid != one.pid for one in shown for thread in one.threads)
    reasons = {reason: unreadable.count(reason) for reason in sorted(set(unreadable))}
    return Findings(shown, their_parts, rows, reasons, repeated, threads - stacks, None)


def _exactly(findings: Findings, bar: ProgressBar) -> Findings:
    """Add what --exact finds. Raises CommandError without numpy, and without the rights."""
    try:
        from psstopd.client.mappings import exact as show_exact  # noqa: PLC0415 - numpy, which may be missing
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        install = "pip install 'psstopd[exact]', or the package python3-numpy for a Python of the system's"
        raise CommandError(f"--exact needs numpy: {install}", exits.UNAVAILABLE) from error
    try:
        return findings._replace(exact=show_exact.measure(findings, bar))
    except AccessDenied as error:
        raise CommandError(f"--exact: {error}; {_exact_cure(os.geteuid())}", exits.UNAVAILABLE) from error


def _exact_cure(euid: int) -> str:
    """Say to whom asks as `euid` what counting pages takes."""
    if euid == 0:
        return withheld_from_root("CAP_SYS_ADMIN")
    return "run as root: frame numbers take CAP_SYS_ADMIN, and kpagecount is root's"


def _nothing(targets: list[str], unreadable: list[Unreadable]) -> str:
    """Say why there is nothing to show."""
    names = " or ".join(target if target.isprintable() else printable(os.fsencode(target)) for target in targets)
    if unreadable:
        return "\n".join(_reasons(names, unreadable))
    return f"{names}: no process with memory has this name or pid; names are exact, or globs"


def _reasons(names: str, unreadable: list[Unreadable]) -> Iterator[str]:
    for reason in sorted(set(unreadable)):
        yield f"{names}: {unreadable.count(reason)} not readable: {cure(reason, os.geteuid())}"
