"""The exit codes of both commands and of the children they start, as sysexits(3) and the LSB have them."""

OK = 0
FAILED = 1  # there is nothing to show
USAGE = 2  # argparse's own
NOT_RUNNING = 3  # `psstopd status`, as systemctl has it
UNAVAILABLE = 69  # `check-config --connect`: the server would not take points; `show --exact`: no root, or no numpy
SOFTWARE = 70  # a defect in psstop
CANNOT_CREATE = 73  # the journal can't be opened or made
SINK_CLOSED = 74  # standard output was closed
LOCKED = 75  # another psstopd writes this journal, or ships it
CONFIG = 78  # the config is not valid; systemd does not restart for this one


class CommandError(Exception):
    """Raised by a command that can't go on: the message names the cure, `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
