"""Real processes whose memory is known to the page; see memory_fixture.c for what each mode does."""

import os
import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from psstopd.kernel.errors import ProcessGone
from psstopd.kernel.procfs import Procfs
from tests.waiting import wait_for

_SOURCE = Path(__file__).with_suffix(".c")


def build(directory: Path) -> Path:
    """Compile the program, statically: then all of its pages are its own family's, and their number is known."""
    program = directory / "memory_fixture"
    subprocess.run(
        ["gcc", "-static", "-pthread", "-O1", "-Wall", "-Wextra", "-o", program, _SOURCE], check=True, timeout=60
    )
    return program


class Family:
    """One running program and its children; a context, whose end kills them."""

    def __init__(self, program: Path | str, mode: str, *arguments: str | int | Path) -> None:
        self._process = subprocess.Popen(
            [program, mode, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.regions: dict[str, int] = {}
        self.children: list[int] = []
        self.await_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_for(partial(_is_gone, pid), 10, f"child {pid} has ended")
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The pid of the first process."""
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """The pids of all, the first process before its children."""
        return [self.pid, *self.children]

    def go_on(self) -> None:
        """Let it do what it waits for."""
        assert self._process.stdin
        self._process.stdin.write(".")
        self._process.stdin.flush()

    def await_ready(self) -> None:
        """Take in what the program says up to its next "ready"."""
        assert self._process.stdout
        for line in self._process.stdout:
            word, _, value = line.strip().partition(" ")
            if word == "ready":
                return
            if word == "child":
                self.children.append(int(value))
            else:
                self.regions[word] = int(value, 16)
        raise AssertionError(f"{self._process.args!r} ended")


def _is_gone(pid: int) -> bool:
    try:
        Procfs().stat(pid)
    except ProcessGone:
        return True
    return False
