"""`psstopd run`: read the config, then become the sampler.

The sampler is the same process in a fresh interpreter: what reading the config took, 25 MiB of pydantic, is gone with
the old one, while the pid stays and systemd's READY, watchdog and stop go on meaning this process.
"""

import argparse
import os
import sys
from typing import NoReturn

from psstopd.cli.load import load
from psstopd.config import Config, to_json


def main(options: argparse.Namespace) -> NoReturn:
    """Replace this process by the sampler; it gets the config through a descriptor, so that no disk sees the token."""
    descriptor = _in_memory(load(options.config))
    rest = [*(["--config", options.config] if options.config else []), *(["--stdout"] if options.stdout else [])]
    # A second malloc arena, for the thread that reads, would cost more memory than it could ever save time.
    environment = {"MALLOC_ARENA_MAX": "1", **os.environ}
    command = [sys.executable, "-P", "-m", "psstopd.cli.sampler", str(descriptor), *rest]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter


def _in_memory(config: Config) -> int:
    descriptor = os.memfd_create("psstop-config", 0)
    os.write(descriptor, to_json(config).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
