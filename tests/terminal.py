"""A terminal of the test's own: `psstopd run` in it is in the foreground, Ctrl-C is a byte, and lines have a width."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.daemon import clean_environ
from tests.waiting import wait_for


class Terminal:
    """One program on a terminal of 24 lines; lives for one test."""

    def __init__(self, argv: Sequence[str], *, columns: int) -> None:
        self._side, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # A session of its own whose terminal this is: then ^C is SIGINT for its foreground processes.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=clean_environ()
        )
        os.close(theirs)
        self._shown = b""

    def shown(self) -> str:
        """Give all that has been written to the terminal so far."""
        while self._side >= 0 and select.select([self._side], [], [], 0)[0]:
            try:
                self._shown += os.read(self._side, 65536)
            except OSError:  # EIO: nobody has it open any more
                break
        return self._shown.decode(errors="replace")

    def await_lines(self, words: str, count: int) -> list[str]:
        """Wait until `count` lines contain `words` and give these."""
        wait_for(lambda: len(self._matching(words)) >= count, 20 + count, f"{count} lines with {words!r}")
        return self._matching(words)

    def _matching(self, words: str) -> list[str]:
        return [line for line in self.shown().split("\r\n")[:-1] if words in line]

    def type(self, text: bytes) -> None:
        """Send what a keyboard would."""
        os.write(self._side, text)

    def end(self, keys: bytes = b"\x03") -> tuple[int, float]:
        """Press Ctrl-C; give the exit code and the seconds until the program had ended."""
        began = time.monotonic()
        self.type(keys)
        wait_for(lambda: (self.shown(), self.process.poll())[1] is not None, 10, "the end of the program")
        return self.process.wait(), time.monotonic() - began

    def hang_up(self) -> None:
        """Close the window."""
        if self._side >= 0:
            os.close(self._side)
            self._side = -1


@contextmanager
def terminal(*argv: str, columns: int = 80) -> Iterator[Terminal]:
    """Run a program on a terminal until the block ends."""
    shown = Terminal(argv, columns=columns)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait(10)
        shown.hang_up()
