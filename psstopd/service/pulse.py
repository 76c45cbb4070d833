"""The shipper's pulse: what tells the daemon that it makes progress, though it may have nothing to send for hours.

The shipper writes a byte before each request and every few seconds of its sleep, into a pipe that is its standard
output; the daemon looks when it wakes up anyway. One that is stopped, or stuck in the kernel, falls silent.
"""

import os
from contextlib import suppress

BEAT_SECONDS = 5.0  # the longest sleep of a shipper without a beat
SLACK_SECONDS = 10.0  # that a loaded machine may add to the longest request


def beat() -> None:
    """Show the daemon that this shipper lives; one that looks away for long needs no more bytes than the pipe holds."""
    with suppress(OSError):
        os.write(1, b".")


class Pulse:
    """The daemon's end of one shipper's pipe; lives as long as that shipper, and its keeper closes it."""

    def __init__(self, now: float) -> None:
        """Make the pipe; being started is the first beat. Raises OSError."""
        self._ear, self.mouth = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._last_beat = now

    def silent_seconds(self, now: float) -> float:
        """Listen, and give the time since the last beat."""
        with suppress(BlockingIOError):
            if os.read(self._ear, 1 << 16):
                self._last_beat = now
        return now - self._last_beat

    def close_mouth(self) -> None:
        """Leave that end to the shipper."""
        os.close(self.mouth)

    def close(self) -> None:
        """Close the daemon's end."""
        os.close(self._ear)
