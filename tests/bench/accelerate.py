"""Run the accelerated sampler, and look at it and at its shipper from outside."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from psstopd.config import Config, to_json
from psstopd.journal.cursor import read_delivery
from psstopd.journal.reader import JournalReader
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory
from psstopd.service.handover import in_memory
from tests.bench.configs import BATCH_SIZE, watching_crowd
from tests.bench.dialogue import Dialogue, dialogue, sampler_like
from tests.bench.interpreter import private_copy
from tests.faultserver import FaultServer, fault_server
from tests.waiting import wait_for

_DELIVERY_SECONDS = 60


class Accelerated:
    """A sampler that takes ticks when told to; lives as long as the block of `accelerated`."""

    def __init__(
        self, sampler: Dialogue, config: Config, server: FaultServer | None, *, keeper: int | None = None
    ) -> None:
        self.config = config
        self.server = server
        self.shipper = 0  # pid
        self.cpu_us = 0.0
        self._sampler = sampler
        self._keeper = keeper  # pid

    def run_until(self, ticks: int) -> None:
        """Let it take ticks until there are so many, and its shipper deliver them all."""
        _, self.cpu_us, shipper = self._sampler.ask(ticks)
        self.shipper = int(shipper)
        if self.server is not None:
            wait_for(self._all_delivered, _DELIVERY_SECONDS, f"all of {ticks} ticks to be delivered")

    def memory(self) -> list[Memory]:
        """Read the sampler's memory, and the shipper's if there is one, and between them that of its keeper."""
        read = MemoryReader(Procfs()).read
        return [read(pid).memory for pid in (self._sampler.pid, self._keeper, self.shipper) if pid]

    def shipper_cpu_us(self) -> float:
        """Read the shipper's CPU time, to the hundredth of a second that the kernel tells."""
        return Procfs().stat(self.shipper).cpu_ticks * 1e4

    def _all_delivered(self) -> bool:
        delivery = read_delivery(self.config.journal.path)
        with closing(JournalReader(self.config.journal.path)) as journal:
            return delivery is not None and delivery.cursor == journal.newest_tick()


@contextmanager
def accelerated(
    *, ships: bool, batch_size: int = BATCH_SIZE, elsewhere: bool = False, max_age: int = 0
) -> Iterator[Accelerated]:
    """Run a sampler with an empty journal under an interpreter of its own; what it ships, a server takes.

    What ships is the sampler's child or, `elsewhere`, that of a keeper, as in psstop-shipper.service.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(fault_server()) if ships else None
        url = server.url if server is not None else None
        config = watching_crowd(directory / "journal.db", url=url, batch_size=batch_size, max_age=max_age)
        python = private_copy(directory)
        command, environment = sampler_like("accelerated", python=python.program)
        environment |= python.environment
        keeper = stack.enter_context(_keeper(python.program, environment, config)) if elsewhere else None
        sampler = stack.enter_context(dialogue([*command, *(["--no-shipper"] if elsewhere else [])], environment))
        sampler.send(to_json(config))
        yield Accelerated(sampler, config, server, keeper=keeper)


@contextmanager
def _keeper(python: str, environment: dict[str, str], config: Config) -> Iterator[int]:
    """Run a keeper, which waits for the sampler's journal; give its pid."""
    with in_memory(to_json(config).encode()) as handover:
        command = [python, "-P", "-m", "psstopd.cli.keeper", str(handover.fileno())]
        process = subprocess.Popen(command, pass_fds=[handover.fileno()], env=environment, stderr=subprocess.DEVNULL)
    with process:
        try:
            yield process.pid
        finally:
            process.terminate()
