"""Read the config in a short-lived child: pydantic costs 20 MiB that the sampler would never give back."""

import subprocess
import sys

from psstopd.config import Config, from_json
from psstopd.service.handover import in_memory


class ConfigRefused(Exception):  # noqa: N818 - says what is wrong, the caller decides what it is worth
    """Raised when the config is not valid; the message has one line for each problem, with file, key and cure."""


class ConfigLoad:
    """One reading of the config; made for one reload, polled until its child has ended, and closed by the loop."""

    def __init__(self, path: str | None) -> None:
        """Start the child. Raises ConfigRefused when the machine has no room for it."""
        argument = [] if path is None else ["--config", path]
        try:
            self._out, self._err = in_memory(), in_memory()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "psstopd.settings", *argument],
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
            )
        except OSError as error:
            raise ConfigRefused(f"the config can't be read now: {error}; try again") from error

    def done(self) -> bool:
        """Tell whether the child has ended."""
        return self._process.poll() is not None

    def result(self) -> Config:
        """Wait for the child and give what it read. Raises ConfigRefused."""
        code = self._process.wait()
        for file in (self._out, self._err):
            file.seek(0)
        if code != 0:
            reason = self._err.read().decode(errors="replace").strip()
            raise ConfigRefused(reason or f"the config can't be read: exit_code={code}")
        return from_json(self._out.read())

    def close(self) -> None:
        """End a child that still reads, be it a pipe that nobody writes to, and let go of what it said."""
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._err.close()
