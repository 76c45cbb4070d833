"""`psstopd run`: read the config, then become the sampler.

The sampler is the same process in a fresh interpreter: what reading the config took, 25 MiB of pydantic, is gone with
the old one, while the pid stays and systemd's READY, watchdog and stop go on meaning this process.
"""

import argparse
import os
import sys
from typing import NoReturn

from psstopd.cli.load import load
from psstopd.config import to_json
from psstopd.service import signals
from psstopd.service.handover import in_memory

# mallopt(3): no second arena for the thread that reads, and what is freed goes back; half a MiB for each process.
FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_TOP_PAD_": "0",
}


def main(options: argparse.Namespace) -> NoReturn:
    """Replace this process by the sampler; it gets the config through a descriptor, so that no disk sees the token."""
    config = in_memory(to_json(load(options.config)).encode())
    os.set_inheritable(config.fileno(), True)
    rest = [*(["--config", options.config] if options.config else []), *(["--stdout"] if options.stdout else [])]
    environment = {**FRUGAL, **os.environ}
    command = [sys.executable, "-P", "-m", "psstopd.cli.sampler", str(config.fileno()), *rest]
    # Signals wait until the new interpreter listens: SIGHUP would end it, Ctrl-C show in which import it was.
    signals.block()
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter
