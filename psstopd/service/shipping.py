"""The shipper as the sampler sees it: a child of its own, or one that `psstopd ship` keeps in another service."""

import logging
from typing import Protocol

from psstopd.config import Config
from psstopd.journal.cursor import shipper_lock
from psstopd.journal.files import lock_holder
from psstopd.kernel.procfs import read_once

log = logging.getLogger("psstopd")


class Shipper(Protocol):
    """What the loop asks of whoever ships: `child.ShipperChild`, or `ShipperElsewhere`."""

    closed: bool

    @property
    def delivers(self) -> bool:
        """Tell whether there is a server that the journal waits for."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Give the processes that ship, none when nobody does."""

    def poll(self) -> None:
        """See to it, whenever the daemon wakes."""

    def reconfigure(self, config: Config) -> None:
        """Take over another config."""

    def stop(self) -> None:
        """End it with the daemon."""


class ShipperElsewhere:
    """A shipper that is no business of this process, but for what it costs; lives as long as the daemon."""

    closed = False

    def __init__(self, config: Config) -> None:
        self._config = config
        self._call_for_one()

    @property
    def delivers(self) -> bool:
        """Tell whether there is a server that the journal waits for, be anybody there to send or not."""
        return self._config.influxdb is not None

    @property
    def pids(self) -> tuple[int, ...]:
        """Give the pids of the keeper, which holds the lock while it lives, and of what it has started."""
        keeper = lock_holder(shipper_lock(self._config.journal.path))
        return () if keeper is None else (keeper, *_children(keeper))

    def poll(self) -> None:
        """Leave it to its keeper."""

    def reconfigure(self, config: Config) -> None:
        """Take over another config; the keeper reads it for itself."""
        self._config = config
        self._call_for_one()

    def stop(self) -> None:
        """Leave it to systemd, which ends it after this process."""

    def _call_for_one(self) -> None:
        if self.delivers and not self.pids:
            log.warning("no shipper runs, keeping everything: systemctl start psstop-shipper")


def _children(pid: int) -> tuple[int, ...]:
    """Give the pids of a process' children, proc_tid_children(5); none when it has ended meanwhile."""
    try:
        return tuple([int(child) for child in read_once(f"/proc/{pid}/task/{pid}/children").split()])
    except OSError:
        return ()
