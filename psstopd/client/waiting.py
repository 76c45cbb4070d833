"""Show on a terminal how far something has come that takes more than a second."""

import time
from typing import Self, TextIO

from psstopd.client.screen import width_of

_PATIENCE_SECONDS, _PAUSE_SECONDS = 1.0, 0.1
_CELLS = 30
_ERASE = "\r\x1b[K"


class ProgressBar:
    """A bar on standard error, if that is a terminal; a context, whose end erases it. Lives for one command."""

    def __init__(self, stream: TextIO, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._stream = stream if width_of(stream) is not None else None
        self._next = time.monotonic() + patience_seconds
        self._is_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._is_shown and self._stream is not None:
            self._stream.write(_ERASE)
            self._stream.flush()

    def at(self, what: str, share: float) -> None:
        """Say how much is done of what, from 0 to 1; drawn at most ten times a second."""
        if self._stream is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE_SECONDS
        self._is_shown = True
        done = round(_CELLS * share)
        bar = f"{what} [{'#' * done}{'.' * (_CELLS - done)}] {share:4.0%}"
        self._stream.write(_ERASE + bar[: (width_of(self._stream) or len(bar) + 1) - 1])
        self._stream.flush()
