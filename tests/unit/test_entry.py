"""Where commands end: an exit code, a line for people, no traceback."""

import os
from collections.abc import Callable

import pytest

from psstopd.cli.entry import guarded
from psstopd.exits import CommandError


def raising(error: BaseException) -> Callable[[], int]:
    """Make a command that ends with `error`."""

    def command() -> int:
        raise error

    return command


def test_the_exit_code_is_the_commands() -> None:
    """What a command returns is what the process ends with."""
    assert guarded(lambda: 3) == 3


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CommandError("do this", 73), 73, "do this\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            ValueError("odd"),
            70,
            """a defect in psstop: ValueError: odd
please report it with the output of the same command under PSSTOPD_TRACEBACK=1
""",
        ),
    ],
)
def test_errors_end_in_words(error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command's own error is its message; Ctrl-C says nothing; what nobody foresaw says how to report it."""
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err == said


def test_a_defect_can_be_traced() -> None:
    """With the variable that the message names, the exception goes through."""
    os.environ["PSSTOPD_TRACEBACK"] = "1"
    try:
        with pytest.raises(ValueError, match="odd"):
            guarded(raising(ValueError("odd")))
    finally:
        del os.environ["PSSTOPD_TRACEBACK"]
