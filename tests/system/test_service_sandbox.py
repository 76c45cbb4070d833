"""The shipper of the real units: confined by itself, and with credentials that only root may read."""

import pytest

from tests.system.service import SHIPPER, Service
from tests.waiting import wait_for

pytestmark = [pytest.mark.systemd, pytest.mark.landlock]

PORT = 8086


def test_the_shipper_confines_itself(service: Service) -> None:
    """The unit's filter lets it: a shipper that may not open what is new in /etc ends, and the next one delivers."""
    server = service.start_server("accepting", PORT)
    service.configure("watched", port=PORT)
    service.start()
    wait_for(lambda: "authorization" in service.log(server), 10, "a write")
    shipper = service.shipper_pid

    service.container.run(["cp", "/etc/hosts", "/etc/hosts.new"])
    service.container.run(["mv", "/etc/hosts.new", "/etc/hosts"])
    wait_for(lambda: "starting anew to read what was replaced: files=/etc/hosts" in service.log(SHIPPER), 10, "its end")
    wait_for(lambda: service.shipper_pid != shipper, 10, "another shipper")
    before = service.log(server).count("authorization")
    wait_for(lambda: service.log(server).count("authorization") > before, 10, "another write")


def test_a_client_certificate_that_root_alone_may_read_reaches_the_service(service: Service) -> None:
    """What is in /etc/psstop/influxdb-cert is the client certificate; here it is none, and the shipper alone minds."""
    service.configure("watched", port=PORT)
    service.container.write("/etc/psstop/influxdb-cert", "no certificate\n", mode=0o600)

    service.start()

    assert (service.shown("ActiveState", SHIPPER), service.shown("ExecMainStatus", SHIPPER)) == ("failed", "78")
    assert "/influxdb-cert: holds no certificate; put the client certificate there" in service.log(SHIPPER)
    assert "no shipper runs, keeping everything: systemctl start psstop-shipper" in service.log()
    assert "no shipper runs" in service.shown("StatusText")
