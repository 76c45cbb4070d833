"""The exit codes of both commands and of the children they start, as sysexits(3) and the LSB have them."""

OK = 0
FAILED = 1  # there is nothing to show
USAGE = 2  # argparse's own
NOT_RUNNING = 3  # `psstopd status`, as systemctl has it
UNAVAILABLE = 69  # `psstopd check-config --connect`: the server would not take points
SOFTWARE = 70  # a defect in psstop
CANNOT_CREATE = 73  # the journal can't be opened or made
SINK_CLOSED = 74  # standard output was closed
LOCKED = 75  # another psstopd writes this journal
CONFIG = 78  # the config is not valid; systemd does not restart for this one
