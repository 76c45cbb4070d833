"""TLS to a real server: what is wrong is told apart, the client certificate is shown, and no secret is."""

import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from psstopd.config import InfluxDBConfig, Secret
from psstopd.delivery.diagnosis import check
from psstopd.delivery.influxdb import InfluxDBSink
from psstopd.delivery.sink import accepted
from psstopd.delivery.tls import tls_context
from tests.certificates import Authority, Certificate, encrypted, expired, self_signed
from tests.daemon import daemon
from tests.faultserver import FaultServer, Reply, fault_server

TOKEN = "sesame-open-7d2a"
PASSWORD = "pass-7d2a"


class Home(NamedTuple):
    """A CA with a server and a client that it has signed, and the server, which demands a client certificate."""

    authority: Authority
    client: Certificate
    server: FaultServer

    def config(self, certificate: Certificate | None = None, **changes: Any) -> InfluxDBConfig:
        """Configure a sink that sends to the server, with a client certificate or without."""
        own = {"cert_file": str(certificate.certificate), "key_file": str(certificate.key)} if certificate else {}
        return configured(self.server.url, ca_file=str(self.authority.certificate), **own | changes)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Run a server that demands client certificates."""
    authority = Authority(tmp_path)
    with fault_server(certificate=authority.issue("server"), client_ca=authority.certificate) as server:
        yield Home(authority, authority.issue("client"), server)


def configured(url: str, **changes: Any) -> InfluxDBConfig:
    """Build a configuration that sends to `url` with a token and little patience."""
    config = InfluxDBConfig(
        url=url,
        api="v2",
        org="ops",
        bucket="psstop",
        token=Secret(TOKEN),
        token_file=None,
        batch_size=5000,
        flush_interval=10,
        timeout=2,
        backfill_rate=10_000,
        fields=None,
        ca_file=None,
        cert_file=None,
        key_file=None,
    )
    return config._replace(**changes)


def test_a_client_certificate_is_shown(home: Home) -> None:
    """A server that demands one takes points from a client that has one."""
    with closing(InfluxDBSink(home.config(home.client), proxies={})) as sink:
        answers = [sink.send(["m f=1i 1"]) for _ in range(2)]

    assert all(map(accepted, answers))
    assert len({request.client for request in home.server.requests}) == 1


def test_certificate_and_key_may_be_in_one_file(home: Home, tmp_path: Path) -> None:
    """Without key_file the certificate's own file has the key."""
    (tmp_path / "both").write_bytes(home.client.certificate.read_bytes() + home.client.key.read_bytes())
    config = home.config(cert_file=str(tmp_path / "both"))

    assert check(config, proxies={}) is None


def test_a_renewed_certificate_is_used_at_once(home: Home) -> None:
    """What is on disk when a request goes out counts: no restart, and no new connection while nothing changes."""
    old, new = home.authority.issue("old", days=-1), home.authority.issue("new")
    with closing(InfluxDBSink(home.config(old), proxies={})) as sink:
        refused = sink.send(["m f=1i 1"])
        new.certificate.rename(old.certificate)
        half = sink.send(["m f=1i 1"])
        new.key.rename(old.key)
        answers = [sink.send(["m f=1i 1"]) for _ in range(2)]

    assert refused.error == "SSLError: TLS: the server finds the client certificate expired"
    assert half.error is not None
    assert half.error.startswith(f"UnusableCertificate: {old.key}: is not the key of the certificate in")
    assert all(map(accepted, answers))
    assert len({request.client for request in home.server.requests}) == 1


def test_a_demanded_certificate_that_is_missing_is_told(home: Home) -> None:
    """A client without one learns what the server wants, however large the request that the server cuts off."""
    with closing(InfluxDBSink(home.config(), proxies={})) as sink:
        answers = [sink.send([f"m f={number}i 1" for number in range(lines)]) for lines in (1, 1, 200_000)]

    assert {answer.error for answer in answers} == {"SSLError: TLS: the server demands a client certificate"}
    assert home.server.requests == []


@pytest.mark.parametrize(
    ("kind", "error", "cure"),
    [
        ("wrong name", "IP address mismatch, certificate is not valid for '127.0.0.1'", "set url to a name in the"),
        ("expired", "certificate has expired", "renew the server's certificate"),
        ("self-signed", "self-signed certificate", "set ca_file to the CA"),
        ("unknown CA", "unable to get local issuer certificate", "set ca_file to the CA"),
        ("client certificate missing", "the server demands a client certificate", "set cert_file and key_file"),
        ("client certificate of another CA", "does not know the CA of the client certificate", "set cert_file"),
        ("client certificate expired", "the client certificate expired", "renew cert_file and key_file"),
    ],
)
def test_what_is_wrong_is_told_apart_and_keeps_everything(tmp_path: Path, kind: str, error: str, cure: str) -> None:
    """Log, status and check-config name the failure; nothing is sent to that server, and all of it to a better one."""
    bad, sink = untrustworthy(tmp_path, kind)
    with ExitStack() as servers, daemon(tmp_path) as running:
        refusing, mended = servers.enter_context(bad), servers.enter_context(fault_server())
        common = {"bucket": "b", "flush_interval": "1s", "timeout": "2s", "token": TOKEN}
        running.configure(influxdb=common | sink | {"url": refusing.url}, tags={"host": "web1"})
        running.start()
        running.await_ticks(2)
        running.await_log(error)
        status = running.status()
        checked = running.run("check-config", "--connect")
        running.configure(influxdb=common | {"url": mended.url}, tags={"host": "web1"})
        running.reload()
        running.await_delivery()
        running.stop()
        times = {line.rsplit(" ", 1)[1] for request in mended.requests for line in request.body.decode().splitlines()}

    assert error in status["last_error"]
    assert (checked.returncode, error in checked.stderr, cure in checked.stderr) == (69, True, True)
    assert refusing.requests == []
    assert times == {str(tick.time) for tick in running.ticks()}
    assert TOKEN not in running.errors() + checked.stdout + checked.stderr + str(status)


def untrustworthy(directory: Path, kind: str) -> tuple[AbstractContextManager[FaultServer], dict[str, str]]:
    """Give a server that does not go together with its client, and how that client is configured."""
    authority, other, (over, over_ca) = Authority(directory), Authority(directory, name="other"), expired(directory)
    good, trust = authority.issue("server"), {"ca_file": str(authority.certificate)}
    certificate, sink = {
        "wrong name": (authority.issue("wrong", names="DNS:influx.example"), trust),
        "expired": (over, {"ca_file": str(over_ca)}),
        "self-signed": (self_signed(directory), {}),
        "unknown CA": (good, {"ca_file": str(other.certificate)}),
        "client certificate missing": (good, trust),
        "client certificate of another CA": (good, trust | own(other.issue("client"))),
        "client certificate expired": (good, trust | own(authority.issue("client-over", days=-1))),
    }[kind]
    demands = kind.startswith("client certificate")
    return fault_server(certificate=certificate, client_ca=authority.certificate if demands else None), sink


def own(certificate: Certificate) -> dict[str, str]:
    """Write a client certificate as a config has it."""
    return {"cert_file": str(certificate.certificate), "key_file": str(certificate.key)}


def test_nothing_of_the_key_is_seen_anywhere(tmp_path: Path, home: Home) -> None:
    """The server sees the certificate; log, status, processes, check-config and journal never have the key."""
    (tmp_path / "daemon").mkdir()
    secrets = home.client.key.read_text().splitlines()[1:-1]
    sink = {"url": home.server.url, "bucket": "b", "flush_interval": "1s", "ca_file": str(home.authority.certificate)}
    with daemon(tmp_path / "daemon") as running:
        running.configure(influxdb=sink | own(home.client))
        running.start()
        running.await_ticks()
        running.await_delivery()
        processes = (running.pid, running.shipper_pid)
        visible = [Path(f"/proc/{pid}/{name}").read_bytes() for pid in processes for name in ("cmdline", "environ")]
        commands = [running.run("status", "--json"), running.run("check-config", "--connect")]
        home.client.key.write_text("\n".join(["-----BEGIN PRIVATE KEY-----", *secrets[:-1]]))
        running.await_log("UnusableCertificate")
        commands += [running.run("check-config"), running.run("check-config", "--connect")]
        running.stop()
    said = running.errors() + "".join(command.stdout + command.stderr for command in commands)
    files = [file.read_bytes() for file in (tmp_path / "daemon").rglob("*") if file.is_file()]

    assert [command.returncode for command in commands] == [0, 0, 78, 78]
    for secret in secrets:
        assert secret not in said
        assert secret.encode() not in b"".join(visible + files)


def test_an_encrypted_key_is_an_answer(home: Home) -> None:
    """A key that was encrypted while the daemon ran is refused in words; nothing asks for the passphrase."""
    with closing(InfluxDBSink(home.config(encrypted(home.client, passphrase=PASSWORD)), proxies={})) as sink:
        answer = sink.send(["m f=1i 1"])

    assert answer.error is not None
    assert "the private key is encrypted, and nobody is there" in answer.error


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:{}@127.0.0.1:1",
        "user:{}@127.0.0.1:1",
        "http://user:{}@127.0.0.1:port",
        "http://user:{}/@127.0.0.1:1",
        "http://user:{} @127.0.0.1:1",
        "http://user:{}@@127.0.0.1:1",
        "http://us@er:{}@127.0.0.1:1",
        "http://user:{}@[::1",
        "http://user:{}%zz@h^st",
        "socks5://user:{}@127.0.0.1:1",
        "https://user:{}\udcff@127.0.0.1:1",
        "//user:{}@",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_failure_tells_the_password_of_a_proxy(proxy: str, scheme: str) -> None:
    """However the proxy's address is written, its password is in no answer."""
    proxies = {scheme: proxy.format(PASSWORD)}
    with closing(InfluxDBSink(configured(f"{scheme}://influx.invalid"), proxies=proxies)) as sink:
        answer = sink.send(["m f=1i 1"])

    assert answer.error
    assert PASSWORD not in repr(answer)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_echoes_its_password_does_not_spread_it(scheme: str) -> None:
    """Neither a proxy's answer nor its refusal of a tunnel brings the password into a log."""
    with fault_server() as server:
        proxies = {scheme: server.url.replace("//", f"//user:{PASSWORD}@")}
        with closing(InfluxDBSink(configured(f"{scheme}://influx.invalid"), proxies=proxies)) as sink:
            sink.send(["m f=1i 1"])
            basic = server.requests[0].headers["proxy-authorization"]
            server.default = Reply(407, f"no: {basic} user:{PASSWORD}".encode())
            answer = sink.send(["m f=1i 1"])

    assert PASSWORD not in repr(answer)
    assert basic.partition(" ")[2] not in repr(answer)


def test_no_file_gets_the_secrets_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSLKEYLOGFILE, which would let others read what is sent, is not obeyed."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))

    assert tls_context(None, None, None).keylog_filename is None


def test_tls_is_verified_and_not_old() -> None:
    """Without being asked: certificates, names, and no version before 1.2."""
    context = tls_context(None, None, None)

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
