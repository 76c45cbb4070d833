"""One container for all tests in this directory, with psstop installed as an operator would."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.system.boot import booted
from tests.system.container import Container
from tests.system.installation import install
from tests.system.service import SHIPPER, Service


@pytest.fixture(scope="session")
def container() -> Iterator[Container]:
    """Boot a real systemd that ends with the test session."""
    with TemporaryDirectory(prefix="psstop-tests-") as upper:
        install(Path(upper))
        with booted(Path(upper)) as leader:
            yield Container(leader)


@pytest.fixture
def service(container: Container) -> Iterator[Service]:
    """Give psstop's two units, not yet configured; afterwards show their log, which pytest prints with a failure."""
    service = Service(container)
    yield service
    print(service.log(), service.log(SHIPPER))  # noqa: T201 - pytest shows it with a failure only
    service.clear()
