"""Read the config in a short-lived child: pydantic costs 20 MiB that the sampler would never give back."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from psstopd.config import Config, from_json
from psstopd.service.handover import in_memory
from psstopd.service.process import Process

log = logging.getLogger("psstopd")


class ConfigRefused(Exception):  # noqa: N818 - says what is wrong, the caller decides what it is worth
    """Raised when the config is not valid; the message has one line for each problem, with file, key and cure."""


class ConfigLoad:
    """One reading of the config; made for one reload, polled until its child has ended, and closed by the loop."""

    def __init__(self, path: str | None, *, ships: bool = True) -> None:
        """Start the child. Raises ConfigRefused when the machine has no room for it."""
        arguments = [*([] if path is None else ["--config", path]), *([] if ships else ["--no-shipper"])]
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


class Told(NamedTuple):
    """Who is told of a reload: `began`, `adopt` with a valid config, and `ended` either way.

    `adopt` may raise ConfigRefused for what can't be changed at run time, before it has changed anything.
    """

    began: Callable[[], None]
    adopt: Callable[[Config], None]
    ended: Callable[[], None]


class Reloads:
    """SIGHUP after SIGHUP, one reading at a time; lives as long as its daemon, which polls it and closes it."""

    def __init__(self, load: Callable[[], ConfigLoad], told: Told) -> None:
        self._load = load
        self._told = told
        self._loading: ConfigLoad | None = None
        self._again = False  # asked for while the file was being read: it may have changed behind the reader

    def ask(self) -> None:
        """Begin to read the config, or do so again when the reading that goes on has ended."""
        if self._loading is not None:
            self._again = True
            return
        self._again = False
        self._told.began()
        try:
            self._loading = self._load()
        except ConfigRefused as refused:
            self._end(refused)

    def poll(self) -> None:
        """Hand on a config that has been read meanwhile, or keep the old one and say why."""
        if self._loading is None or not self._loading.done():
            return
        loading, self._loading = self._loading, None
        refused = None
        try:
            self._told.adopt(loading.result())
        except ConfigRefused as error:
            refused = error
        loading.close()
        self._end(refused)
        if self._again:
            self.ask()

    def close(self) -> None:
        """End a reading that goes on."""
        if self._loading is not None:
            self._loading.close()

    def _end(self, refused: ConfigRefused | None) -> None:
        if refused is not None:
            log.error("reload refused, going on with the old config:\n%s", refused)
        self._told.ended()


def require_same_journal(config: Config, before: Config) -> None:
    """Refuse what would need the locks, and for the sampler the file, of another journal. Raises ConfigRefused."""
    if config.journal.path != before.journal.path:
        raise ConfigRefused(f"journal.path: {config.journal.path}: another journal needs a restart")
