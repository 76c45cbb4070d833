"""The name that psstop records: full length where the kernel cut it, and harmless whatever a process calls itself."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psstopd.sampling.names import UNNAMED, printable, program_name

CUT = b"a-very-long-pro"
NAME = b"a-very-long-program-name"
OUR_ESCAPES = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
names = st.binary(max_size=64) | st.text(max_size=30).map(lambda text: text.encode(errors="replace"))


@pytest.mark.parametrize(
    ("exe", "cmdline"),
    [
        (b"/usr/bin/" + NAME, [b"worker: idle"]),
        (b"/usr/bin/" + NAME, [b""]),
        (None, [b"/usr/bin/" + NAME, b"--run"]),
        (b"/usr/bin/python3.11", [b"python3", b"-I", b"/usr/bin/" + NAME, b"--run"]),
        (b"/bin/busybox", [NAME]),
    ],
)
def test_a_cut_name_is_made_whole(exe: bytes | None, cmdline: list[bytes]) -> None:
    """The executable, or the script behind its interpreter, has the full name of which comm is the beginning."""
    assert program_name(CUT, exe, lambda: cmdline) == NAME


@pytest.mark.parametrize(
    ("comm", "exe", "cmdline"),
    [
        (b"nginx", b"/usr/sbin/nginx-debug", [b"nginx: worker process"]),
        (b"fourteen-bytes", b"/usr/bin/fourteen-bytes-and-more", [b""]),
        (CUT, b"/usr/bin/other", [b"other", b"-a-very-long-program-name"]),
        (CUT, None, [b""]),
        (CUT, b"/usr/bin/" + NAME + b"/", []),
        (CUT, b"/usr/bin/sh", [b"sh", b"-e", b"-u", b"-x", NAME]),
    ],
)
def test_otherwise_a_process_is_called_what_it_calls_itself(
    comm: bytes, exe: bytes | None, cmdline: list[bytes]
) -> None:
    """A name that was not cut, or begins no file's name, stays: far arguments are no programs."""
    assert program_name(comm, exe, lambda: cmdline) == comm


def test_a_full_name_is_bounded() -> None:
    """An argument may be megabytes long, a name may not."""
    assert program_name(CUT, None, lambda: [CUT + b"x" * 1_000_000]) == CUT + b"x" * 240


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"nginx", "nginx"),
        ("přehled účtů".encode(), "přehled účtů"),
        (b"", UNNAMED),
        (b"a\nb", r"a\x0ab"),
        (b"\x1b[31m", r"\x1b[31m"),
        (b"trailing\\", r"trailing\x5c"),
        (b"\xff\x80", r"\xff\x80"),
        (b"\xc2\x80", r"\u0080"),
        ("right\u202eleft".encode(), r"right\u202eleft"),
        ("\U000e0001".encode(), r"\U000e0001"),
    ],
)
def test_what_does_not_print_is_written_out(name: bytes, shown: str) -> None:
    """Readable text stays as it is, everything else is seen for what it is."""
    assert printable(name) == shown


@given(names)
@example(b"\\x1b")
def test_a_printable_name_prints(name: bytes) -> None:
    """Whatever the bytes, the name prints, and a backslash in it is the beginning of one of our escapes."""
    shown = printable(name)

    assert shown
    assert shown.isprintable()
    assert "\\" not in OUR_ESCAPES.sub("", shown)


@given(names)
@example(b"\\x1b")
@example(b"\xed\xb3\xbf")
def test_a_printable_name_can_be_turned_back(name: bytes) -> None:
    """No two names look the same, because each tells its bytes."""
    shown = printable(name)

    assert shown == UNNAMED or original(shown) == name


def original(shown: str) -> bytes:
    """Give the bytes that `printable` has written out."""
    parts = re.split(r"(\\x..|\\u....|\\U........)", shown)
    return b"".join(_bytes(part) for part in parts)


def _bytes(part: str) -> bytes:
    if not part.startswith("\\"):
        return part.encode()
    kind, digits = part[1], part[2:]
    return bytes.fromhex(digits) if kind == "x" else chr(int(digits, base=16)).encode()
