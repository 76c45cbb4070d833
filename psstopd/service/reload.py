"""Read the config in a short-lived child: pydantic costs 20 MiB that the sampler would never give back."""

import subprocess
import sys

from psstopd.config import Config, from_json


class ConfigRefused(Exception):  # noqa: N818 - says what is wrong, the caller decides what it is worth
    """Raised when the config is not valid; the message has one line for each problem, with file, key and cure."""


class ConfigLoad:
    """One reading of the config; made for one reload and waited for, or polled until its child has ended."""

    def __init__(self, path: str | None) -> None:
        argument = [] if path is None else ["--config", path]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "psstopd.settings", *argument],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def done(self) -> bool:
        """Tell whether the child has ended; what it prints fits into a pipe."""
        return self._process.poll() is not None

    def result(self) -> Config:
        """Wait for the child and give what it read. Raises ConfigRefused."""
        out, err = self._process.communicate()
        if self._process.returncode != 0:
            raise ConfigRefused(err.decode(errors="replace").strip())
        return from_json(out)
