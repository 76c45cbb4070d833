"""Talk to a child process line by line, so that what is measured runs in a process of its own, when it is asked to."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from psstopd.cli.fresh import FRUGAL

ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 10


class Dialogue:
    """A child that answers each line with a line of numbers; lives as long as the block of `dialogue`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The child's pid."""
        return self._process.pid

    def send(self, line: str) -> None:
        """Send one line that is not answered."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self, *words: object) -> list[float]:
        """Send one line and wait for the answer."""
        assert self._process.stdout is not None
        self.send(" ".join(map(str, words)))
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait(_STOP_SECONDS)}")
        return [float(number) for number in answer.split()]


@contextmanager
def dialogue(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Dialogue]:
    """Start `command`; at the end of the block its input ends, and so does it."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    with process:
        try:
            yield Dialogue(process)
            process.communicate(timeout=_STOP_SECONDS)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise RuntimeError(f"{command!r} ended with {process.returncode}")


def sampler_like(module: str, *, python: str = sys.executable) -> tuple[list[str], dict[str, str]]:
    """Give command and environment that run a module of this package the way in which `psstopd run` runs the sampler.

    Whichever interpreter that is finds the packages of this one.
    """
    packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
    environment = {**FRUGAL, "PYTHONPATH": packages, "PATH": "/usr/bin:/bin"}
    return [python, "-P", "-m", f"tests.bench.{module}"], environment
