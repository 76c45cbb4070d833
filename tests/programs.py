"""Real processes under names of the test's choice, the most hostile that a process can give itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# A family of processes, so that one start of Python serves all names; they end when their standard input does.
_PROGRAM = """
import ctypes, os, sys
libc, names = ctypes.CDLL(None), [bytes.fromhex(name) for name in sys.argv[2:]]
children = []
for name in names[1:]:
    child = os.fork()
    if child == 0:
        names, children = [name], []
        break
    children.append(child)
libc.prctl(15, names[0])  # PR_SET_NAME, prctl(2): up to 15 bytes of anything but NUL
os.write(1, b".")
os.read(0, 1)
for child in children:
    os.waitpid(child, 0)
"""

HOSTILE = (
    b"a,host=evil x=1",
    b"b=c d",
    b" ",
    b"",
    b"\"'`$(id)",
    b"x\npsstop y=1i",
    b"\r\t\x0b",
    b"\x1b[2J\x1b]0;x\x07",
    b"\xff\xfe,",
    rb"\xff",
    b"trailing\\",
    "\u202e\u200fgpj".encode(),
    "ü日本".encode(),
    b"<b>&amp;</b>",
    b"';reboot;'",
    b"-rf",
)


def random_name() -> bytes:
    """Give 15 random bytes that a process may be called."""
    return bytes(byte or 1 for byte in os.urandom(15))


@contextmanager
def named_programs(*names: bytes) -> Iterator[list[dict[str, str]]]:
    """Run a process under each of `names` until the block ends; give the rules that watch these and no other."""
    marker = os.urandom(8).hex()
    command = [sys.executable, "-S", "-c", _PROGRAM, marker, *(name.hex() for name in names)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as family:
        assert family.stdin is not None
        assert family.stdout is not None
        try:
            assert family.stdout.read(len(names)) == b"." * len(names)
            yield [{"cmdline": marker, "group_by": "program"}]
        finally:
            family.stdin.close()
            family.wait(10)
