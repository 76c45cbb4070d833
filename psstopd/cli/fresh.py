"""Become the sampler, or the shipper's keeper, in a fresh interpreter, once the config has been read.

What reading it took, 25 MiB of pydantic, is gone with the old interpreter, while the pid stays and systemd's READY,
watchdog and stop go on meaning this process.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, NoReturn

from psstopd import exits
from psstopd.config import Config, from_json, to_json
from psstopd.exits import CommandError
from psstopd.journal.errors import JournalLocked, JournalUnusable
from psstopd.service import signals
from psstopd.service.handover import in_memory

# mallopt(3): no second arena for the thread that reads, and what is freed goes back; half a MiB for each process.
FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_TOP_PAD_": "0",
}


class Options(NamedTuple):
    """What a command hands over: the config it has read, and where from, for reloads; `flags` are its own."""

    config: Config
    config_path: str | None
    flags: tuple[str, ...] = ()


def become(module: str, options: Options) -> NoReturn:
    """Replace this process; the config goes through a descriptor, so that no disk sees the token."""
    config = in_memory(to_json(options.config).encode())
    os.set_inheritable(config.fileno(), True)
    rest = [*(["--config", options.config_path] if options.config_path else []), *options.flags]
    command = [sys.executable, "-P", "-m", module, str(config.fileno()), *rest]
    # Signals wait until the new interpreter listens: SIGHUP would end it, Ctrl-C show in which import it was.
    signals.block()
    os.execve(sys.executable, command, {**FRUGAL, **os.environ})  # noqa: S606 - our own interpreter


def handed_over(arguments: Sequence[str]) -> Options:
    """Take the config from the descriptor that is the first argument, and the rest of `become`'s options behind it."""
    descriptor, *rest = arguments
    with open(int(descriptor), "rb") as file:
        config = from_json(file.read())
    path = rest[1] if rest[:1] == ["--config"] else None
    return Options(config, path, tuple(rest if path is None else rest[2:]))


def take_name(name: str) -> None:
    """Be called so by ps(1) and pgrep(1), not python3: proc_pid_comm(5)."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(name)


@contextmanager
def journal_trouble() -> Iterator[None]:
    """Give each way in which a journal can be out of reach its exit code. Raises CommandError."""
    try:
        yield
    except JournalLocked as locked:
        raise CommandError(f"journal: {locked}", exits.LOCKED) from locked
    except JournalUnusable as unusable:
        raise CommandError(f"journal: {unusable}", exits.CANNOT_CREATE) from unusable
