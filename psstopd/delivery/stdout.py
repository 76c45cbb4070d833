"""Deliver to a stream instead of a server: `psstopd run --stdout`, the way Telegraf's `inputs.execd` reads it."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from psstopd.delivery.sink import ACCEPTED, Answer


class StdoutSink:
    """Writes to a binary stream that its maker owns: line protocol is UTF-8 whatever the locale says of text streams.

    `closed` turns True once the reader has gone, and stays so: there is nobody left to run for.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.closed = False

    def send(self, lines: Iterable[str]) -> Answer:
        """Write the lines and flush; a stream that took them all counts as a 204."""
        if self.closed:
            return Answer(None, error="BrokenPipeError: the reader has gone")
        try:
            self._stream.write("".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))
            self._stream.flush()
        except BrokenPipeError:
            self._abandon()
            return Answer(None, error="BrokenPipeError: the reader has gone")
        except OSError as error:
            cause = os.strerror(error.errno).lower() if error.errno else str(error)
            return Answer(None, error=f"{type(error).__name__}: {cause}")
        except ValueError:  # what Python says to a write after close()
            self.closed = True
            return Answer(None, error="ValueError: the stream is closed")
        return ACCEPTED

    def close(self) -> None:
        """Leave the stream open: it is not ours."""

    def _abandon(self) -> None:
        # Python flushes stdout once more as it exits, and complains on stderr if the pipe is still broken then.
        self.closed = True
        with suppress(OSError), Path(os.devnull).open("wb") as devnull:
            os.dup2(devnull.fileno(), self._stream.fileno())
