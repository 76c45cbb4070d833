"""Read the config in a short-lived child: pydantic costs 20 MiB that the sampler would never give back."""

import os
from contextlib import ExitStack

from psstopd.config import Config, from_json
from psstopd.service.handover import in_memory
from psstopd.service.process import Process


class ConfigRefused(Exception):  # noqa: N818 - says what is wrong, the caller decides what it is worth
    """Raised when the config is not valid; the message has one line for each problem, with file, key and cure."""


class ConfigLoad:
    """One reading of the config; made for one reload, polled until its child has ended, and closed by the loop."""

    def __init__(self, path: str | None) -> None:
        """Start the child. Raises ConfigRefused when the machine has no room for it."""
        arguments = [] if path is None else ["--config", path]
        try:
            with ExitStack() as stack, open(os.devnull, "rb") as nothing:
                self._out, self._err = (stack.enter_context(in_memory()) for _ in range(2))
                files = {0: nothing.fileno(), 1: self._out.fileno(), 2: self._err.fileno()}
                self._process = Process("psstopd.settings", *arguments, files=files, environ=os.environ)
                stack.pop_all()
        except OSError as error:
            raise ConfigRefused(f"the config can't be read now: {error}; try again") from error

    def done(self) -> bool:
        """Tell whether the child has ended."""
        return self._process.poll() is not None

    def result(self) -> Config:
        """Give what the child has read. Raises ConfigRefused."""
        code = self._process.poll()
        for file in (self._out, self._err):
            file.seek(0)
        if code != 0:
            reason = self._err.read().decode(errors="replace").strip()
            raise ConfigRefused(reason or f"the config can't be read: exit_code={code}")
        return from_json(self._out.read())

    def close(self) -> None:
        """End a child that still reads, be it a pipe that nobody writes to, and let go of what it said."""
        self._process.reap()
        self._out.close()
        self._err.close()
