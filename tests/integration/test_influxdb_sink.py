"""The InfluxDB sink against real servers, and against a server that does everything wrong."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from psstopd.config import InfluxDBConfig, Secret
from psstopd.delivery.diagnosis import check
from psstopd.delivery.influxdb import InfluxDBSink
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.sink import Answer, accepted
from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, SAMPLE_FIELDS
from tests.certificates import self_signed
from tests.faultserver import Fault, FaultServer, Reply, fault_server
from tests.servers import InfluxDB, Row, VictoriaMetrics, free_port, influxdb, victoriametrics

TOKEN = "sesame:open+/=&wide"
HOSTILE = 'evil, name="x"=1 ünï\\xff\\u202e'

SAMPLE = (412876800, 0, 400000000, 500000000, 300000000, 112876800, 0, 90000000, 9, 0, 12, 0, 870)
PROCESS = (90000000, 0, 80000000, 95000000, 70000000, 20000000, 0, 1234, 567890)
HEALTH = (300, 8100, 0, 4, 10, 0, 0, 0, 11000000, 52000)


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
        fields=None,
        backfill_rate=10_000,
        ca_file=None,
    )
    return config._replace(**changes)


def sent(config: InfluxDBConfig, *lines: str) -> Answer:
    """Send lines through a sink of their own, past any proxy that the environment names."""
    with closing(InfluxDBSink(config, proxies={})) as sink:
        return sink.send(lines or ["m f=1i 1"])


def now_tick() -> StoredTick:
    """Build a tick of this minute with a hostile name in it, as VictoriaMetrics refuses what is far from now."""
    return StoredTick(1, int(time.time()) // 60 * 60, HEALTH, [(HOSTILE, SAMPLE)], [(HOSTILE, 2, PROCESS)])


def expected_rows(tick: StoredTick) -> dict[str, list[Row]]:
    """Say what a server should hand out for `now_tick`."""
    tags: Row = {"time": tick.time, "dc": "fra 1", "host": "web1"}
    named: Row = {**tags, "name": HOSTILE}
    return {
        "psstop": [{**named, **dict(zip(SAMPLE_FIELDS, SAMPLE, strict=True))}],
        "psstop_process": [{**named, "slot": "2", **dict(zip(PROCESS_FIELDS, PROCESS, strict=True))}],
        "psstopd": [{**tags, "up": 1, "names": 1, **dict(zip(HEALTH_FIELDS, HEALTH, strict=True))}],
    }


@pytest.fixture(scope="module")
def real_influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """Run InfluxDB 1.x with a database psstop."""
    with influxdb(tmp_path_factory.mktemp("influxdb")) as server:
        server.create_database("psstop")
        yield server


@pytest.fixture
def real_victoriametrics(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    """Run an empty VictoriaMetrics."""
    with victoriametrics(tmp_path) as server:
        yield server


@pytest.fixture
def faulty() -> Iterator[FaultServer]:
    """Run a fault server that answers 204 until a test scripts it."""
    with fault_server() as server:
        yield server


@pytest.mark.influxdb
def test_influxdb_1_stores_every_point(real_influxdb: InfluxDB) -> None:
    """Through v1, InfluxDB 1.x gives back every measurement, tag and integer, sent twice or once."""
    tick = now_tick()
    lines = Encoder("web1", {"dc": "fra 1"}).lines(tick)

    answers = [sent(configured(real_influxdb.url, api="v1", bucket=b), *lines) for b in ("psstop", "psstop/autogen")]

    assert answers == [Answer(204), Answer(204)]
    assert {name: real_influxdb.points(name) for name in expected_rows(tick)} == expected_rows(tick)


@pytest.mark.victoriametrics
def test_victoriametrics_stores_every_point_of_v2(real_victoriametrics: VictoriaMetrics) -> None:
    """Through v2, VictoriaMetrics gives back every measurement, tag and integer."""
    tick = now_tick()

    answer = sent(configured(real_victoriametrics.url), *Encoder("web1", {"dc": "fra 1"}).lines(tick))

    assert answer == Answer(204)
    assert {name: real_victoriametrics.points(name) for name in expected_rows(tick)} == expected_rows(tick)


@pytest.mark.victoriametrics
def test_victoriametrics_stores_every_point_of_v1(real_victoriametrics: VictoriaMetrics) -> None:
    """Through v1, VictoriaMetrics gives back the same points, with the database as one more label."""
    tick = now_tick()
    config = configured(real_victoriametrics.url, api="v1")

    answer = sent(config, *Encoder("web1", {"dc": "fra 1"}).lines(tick))

    expected = {name: [{**row, "db": "psstop"} for row in rows] for name, rows in expected_rows(tick).items()}
    assert answer == Answer(204)
    assert {name: real_victoriametrics.points(name) for name in expected} == expected


@pytest.mark.victoriametrics
def test_victoriametrics_keeps_its_data_over_a_restart(real_victoriametrics: VictoriaMetrics) -> None:
    """A server that was stopped in good order and started again takes the next send of the same sink."""
    first, second = f"m f=1i {int(time.time()) - 10}", f"m f=2i {int(time.time())}"
    with closing(InfluxDBSink(configured(real_victoriametrics.url), proxies={})) as sink:
        answers = [sink.send([first])]
        real_victoriametrics.stop()
        answers.append(sink.send([second]))
        real_victoriametrics.start()
        answers.append(sink.send([second]))

    assert [answer.status for answer in answers] == [204, None, 204]
    assert [row["f"] for row in real_victoriametrics.points("m")] == [1, 2]


@pytest.mark.influxdb
def test_a_missing_database_is_named(real_influxdb: InfluxDB) -> None:
    """InfluxDB's own words about a missing database reach the answer."""
    answer = sent(configured(real_influxdb.url, api="v1", bucket="nowhere"))

    assert answer.status == 404
    assert "database not found" in answer.body


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_request_is_what_the_api_wants(faulty: FaultServer, api: str) -> None:
    """Each API's path and query, gzipped lines, seconds, and the name of the program that sends."""
    sent(configured(faulty.url, api=api, bucket="base/rp" if api == "v1" else "psstop"), "a f=1i 1", "b f=2i 2")

    (request,) = faulty.requests
    v1 = ("/write", {"db": "base", "rp": "rp", "precision": "s"})
    v2 = ("/api/v2/write", {"org": "ops", "bucket": "psstop", "precision": "s"})
    assert (request.path, request.query) == (v1 if api == "v1" else v2)
    assert request.body == b"a f=1i 1\nb f=2i 2\n"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["content-type"] == "text/plain; charset=utf-8"
    assert request.headers["user-agent"].startswith("psstop/")


@pytest.mark.parametrize(
    ("api", "token", "header"),
    [
        ("v2", "user:password", "Token user:password"),
        ("v1", "user:pässword", "Basic dXNlcjpww6Rzc3dvcmQ="),
        ("v1", "opaque", "Token opaque"),
        ("v2", None, None),
    ],
)
def test_the_token_is_sent_the_way_the_api_reads_it(
    faulty: FaultServer, api: str, token: str | None, header: str | None
) -> None:
    """InfluxDB 1.x takes a user and a password as HTTP Basic; everything else is a token; none is none."""
    sent(configured(faulty.url, api=api, token=token))

    assert faulty.requests[0].headers.get("authorization") == header


def test_the_token_is_read_anew_for_each_send(faulty: FaultServer, tmp_path: Path) -> None:
    """A token that the operator corrects on disk works with the next send."""
    token_file = tmp_path / "token"
    token_file.write_text("old\n")
    with closing(InfluxDBSink(configured(faulty.url, token_file=str(token_file)), proxies={})) as sink:
        sink.send(["m f=1i 1"])
        token_file.write_text("new\n")
        sink.send(["m f=1i 1"])

    assert [request.headers["authorization"] for request in faulty.requests] == ["Token old", "Token new"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "FileNotFoundError: token_file {path}: no such file or directory"),
        (b"", "ValueError: token_file {path}: empty, or holds characters that an HTTP header cannot carry"),
        (b"sec\nret", "ValueError: token_file {path}: empty, or holds characters that an HTTP header cannot carry"),
        (b"secret\xff", "UnicodeDecodeError: token_file {path}: not UTF-8 text"),
    ],
)
def test_an_unusable_token_is_an_answer(faulty: FaultServer, tmp_path: Path, content: bytes | None, error: str) -> None:
    """Without a usable token nothing is sent, and the answer names the file but not what is in it."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)

    answer = sent(configured(faulty.url, token_file=str(path)))

    assert answer == Answer(None, error=error.format(path=path))
    assert faulty.requests == []


def test_one_connection_serves_all_sends(faulty: FaultServer) -> None:
    """Sends share one connection as long as the server keeps it open, whatever it answers."""
    faulty.script(Reply(204), Reply(500, b"oops"), Reply(200, b"<html>"), Reply(503, b"\xff"), Reply(204))
    with closing(InfluxDBSink(configured(faulty.url), proxies={})) as sink:
        for _ in range(5):
            sink.send(["m f=1i 1"])

    assert len({request.client for request in faulty.requests}) == 1


def test_a_connection_that_ended_is_replaced(faulty: FaultServer) -> None:
    """After a failure the next send opens a connection of its own and works."""
    faulty.script(Reply(fault=Fault.RESET_AFTER_BODY), Reply(204))
    with closing(InfluxDBSink(configured(faulty.url), proxies={})) as sink:
        answers = [sink.send(["m f=1i 1"]), sink.send(["m f=1i 1"])]

    assert [accepted(answer) for answer in answers] == [False, True]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply(204), Answer(204)),
        (Reply(200, b"<html>\nlogin\x1b[2J"), Answer(200, r"<html>\x0alogin\x1b[2J")),
        (Reply(200), Answer(200)),
        (Reply(302, headers={"Location": "/login"}), Answer(302)),
        (Reply(307, headers={"Location": "/api/v2/write"}), Answer(307)),
        (Reply(308, headers={"Location": "/api/v2/write"}), Answer(308)),
        (Reply(400, b'{"message":"bad line"}'), Answer(400, '{"message":"bad line"}')),
        (Reply(401, b"unauthorized"), Answer(401, "unauthorized")),
        (Reply(404, b'{"code":"not found"}'), Answer(404, '{"code":"not found"}')),
        (Reply(413), Answer(413)),
        (Reply(429, headers={"Retry-After": "7"}), Answer(429, retry_after="7")),
        (Reply(500), Answer(500)),
        (Reply(500, b"\xffno UTF-8"), Answer(500, "\ufffdno UTF-8")),
        (
            Reply(503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
            Answer(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"),
        ),
        (Reply(502, b"x" * 100_000), Answer(502, "x" * 500)),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
def test_an_http_answer_is_kept_as_it_came(faulty: FaultServer, reply: Reply, answer: Answer) -> None:
    """Status, beginning of the body and Retry-After come back, redirects are not followed, and only 204 is success."""
    faulty.script(reply)

    got = sent(configured(faulty.url))

    assert got == answer
    assert accepted(got) == (reply.status == 204)
    assert len(faulty.requests) == 1


@pytest.mark.parametrize(
    ("reply", "errors"),
    [
        (Reply(fault=Fault.CLOSE), ["RemoteDisconnected: connection closed without an answer"]),
        (
            Reply(fault=Fault.RESET_BEFORE_BODY),
            ["ConnectionResetError: connection reset by peer", "BrokenPipeError: broken pipe"],
        ),
        (Reply(fault=Fault.RESET_AFTER_BODY), ["ConnectionResetError: connection reset by peer"]),
        (Reply(500, b"cut", fault=Fault.TRUNCATE), ["IncompleteRead: answer cut short"]),
        (Reply(200, b"cut", fault=Fault.TRUNCATE), ["IncompleteRead: answer cut short"]),
        (Reply(body=b"SSH-2.0-OpenSSH_9.2\r\n", fault=Fault.GARBAGE), ["BadStatusLine: not an HTTP answer"]),
        (
            Reply(500, b"plain", headers={"Content-Encoding": "gzip"}),
            ["DecodeError: "],
        ),
    ],
)
def test_a_broken_answer_is_named(faulty: FaultServer, reply: Reply, errors: list[str]) -> None:
    """Resets, early ends and nonsense are answers without a status, in words, without Python's object names."""
    faulty.script(reply)

    answer = sent(configured(faulty.url))

    assert answer.status is None
    assert answer.error is not None
    assert any(answer.error.startswith(error) for error in errors), answer.error
    assert " at 0x" not in answer.error


@pytest.mark.parametrize("reply", [Reply(fault=Fault.SILENCE), Reply(204, delay_seconds=60)])
def test_a_server_that_swallows_everything_times_out(faulty: FaultServer, reply: Reply) -> None:
    """A server that takes the request and does not answer costs no more than the timeout."""
    faulty.script(reply)
    begun = time.monotonic()

    answer = sent(configured(faulty.url, timeout=1))

    assert answer == Answer(None, error="TimeoutError: timed out after 1 s")
    assert 0.9 < time.monotonic() - begun < 3


def test_nobody_listens() -> None:
    """A refused connection is called that."""
    answer = sent(configured(f"http://127.0.0.1:{free_port()}"))

    assert answer == Answer(None, error="ConnectionRefusedError: connection refused")


def test_an_unknown_host_is_called_that() -> None:
    """A name that no resolver knows (RFC 6761 reserves .invalid) is told from a resolver that does not answer."""
    answer = sent(configured("http://influx.invalid:8086"))

    assert answer.error in {"gaierror: DNS: name not known", "gaierror: DNS: no answer from the resolver"}


@pytest.mark.parametrize(
    "url", ["", "influx", "http://", "ftp://h:1", "http://[::1", "http://h:99999", "http://a..b", "http://h:x/\n"]
)
def test_an_impossible_url_is_an_answer(url: str) -> None:
    """An address that is none is reported like any other failure."""
    answer = sent(configured(url))

    assert answer.status is None
    assert answer.error


def test_a_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    """TLS is verified without being asked to be, and nothing is sent to a server that cannot prove itself."""
    with fault_server(certificate=self_signed(tmp_path)) as server:
        answer = sent(configured(server.url))

    error = "SSLCertVerificationError: TLS: certificate verify failed: self-signed certificate"
    assert answer == Answer(None, error=error)
    assert server.requests == []


def test_a_certificate_of_the_named_ca_is_accepted(tmp_path: Path) -> None:
    """A server whose certificate ca_file vouches for is sent to."""
    certificate = self_signed(tmp_path)
    with fault_server(certificate=certificate) as server:
        answer = sent(configured(server.url, ca_file=str(certificate.certificate)))

    assert accepted(answer)


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    """A certificate of the right CA with the wrong name in it is refused."""
    certificate = self_signed(tmp_path, names="DNS:influx.example")
    with fault_server(certificate=certificate) as server:
        answer = sent(configured(server.url, ca_file=str(certificate.certificate)))

    assert answer.error is not None
    assert "TLS: certificate verify failed: IP address mismatch" in answer.error
    assert server.requests == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unusable_ca_file_is_named(faulty: FaultServer, tmp_path: Path, content: str | None) -> None:
    """A ca_file that is missing or holds no certificate is an answer, not an exception."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)

    answer = sent(configured(faulty.url.replace("http:", "https:"), ca_file=str(ca_file)))

    words = f"FileNotFoundError: {ca_file}: no such file" if content is None else "SSLError: TLS: no certificate"
    assert answer.error is not None
    assert answer.error.startswith(words)


def test_tls_to_a_server_without_it_is_named(faulty: FaultServer) -> None:
    """https:// to a port that speaks plain HTTP is called a TLS failure."""
    answer = sent(configured(faulty.url.replace("http:", "https:")))

    assert answer.error is not None
    assert "TLS: " in answer.error


def test_the_environments_proxy_is_used(faulty: FaultServer) -> None:
    """A request goes to the proxy that the environment names, with the user and password of its address."""
    proxy = faulty.url.replace("//", "//user:p%40ss@")
    with closing(InfluxDBSink(configured("http://influx.invalid:8086"), proxies={"http": proxy})) as sink:
        answer = sink.send(["m f=1i 1"])

    (request,) = faulty.requests
    assert accepted(answer)
    assert request.headers["host"] == "influx.invalid:8086"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "other, 127.0.0.1"])
def test_no_proxy_is_kept(faulty: FaultServer, exempt: str) -> None:
    """A host that no_proxy lists is reached directly."""
    proxies = {"http": f"http://127.0.0.1:{free_port()}", "no": exempt}
    with closing(InfluxDBSink(configured(faulty.url), proxies=proxies)) as sink:
        answer = sink.send(["m f=1i 1"])

    assert accepted(answer)


def test_a_proxy_that_refuses_is_named(faulty: FaultServer) -> None:
    """A proxy's refusal to open a tunnel comes back in its own words."""
    faulty.script(Reply(407))
    with closing(InfluxDBSink(configured("https://influx.invalid"), proxies={"https": faulty.url})) as sink:
        answer = sink.send(["m f=1i 1"])

    assert answer.error is not None
    assert "407" in answer.error
    assert faulty.requests[0].method == "CONNECT"


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("status", [200, 204, 302, 401, 500])
def test_a_token_that_is_echoed_is_blotted_out(faulty: FaultServer, status: int, api: str) -> None:
    """A server that writes the request's own token into its answer does not bring it into a log."""
    sent(configured(faulty.url, api=api))
    authorization = faulty.requests[0].headers["authorization"]
    password = TOKEN.partition(":")[2]
    echo = f"you sent {authorization}, {TOKEN}, {password}"
    headers = {"Retry-After": authorization}
    faulty.script(Reply(status, b"" if status == 204 else echo.encode(), headers=headers))

    answer = sent(configured(faulty.url, api=api))

    assert authorization.partition(" ")[2] not in repr(answer)
    assert TOKEN not in repr(answer)
    assert api == "v2" or password not in repr(answer)
    assert status == 204 or "you sent" in answer.body


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://influx.invalid", "ftp://h", "http://[::1", "https://127.0.0.1:1"]
)
def test_no_failure_tells_the_token(url: str) -> None:
    """The token is in no answer about a server that could not be reached."""
    answer = sent(configured(url))

    assert answer.error
    assert TOKEN not in repr(answer)


def test_what_cannot_be_encoded_is_sent_as_its_code(faulty: FaultServer) -> None:
    """Half a character is no reason to fail a batch."""
    answer = sent(configured(faulty.url), "m,t=\udcff f=1i 1")

    assert accepted(answer)
    assert faulty.requests[0].body == rb"m,t=\udcff f=1i 1" + b"\n"


def test_closing_twice_is_fine() -> None:
    """A sink that never connected, or is closed already, closes without complaint."""
    sink = InfluxDBSink(configured("http://127.0.0.1:1"), proxies={})
    sink.send(["m f=1i 1"])

    sink.close()
    sink.close()


@pytest.mark.influxdb
def test_check_of_a_real_influxdb_writes_nothing(real_influxdb: InfluxDB) -> None:
    """All is well with a database that exists, and the check leaves no measurement behind."""
    config = configured(real_influxdb.url, api="v1")
    before = real_influxdb.query("SHOW MEASUREMENTS", database="psstop")

    problem = check(config, proxies={})

    assert problem is None
    assert real_influxdb.query("SHOW MEASUREMENTS", database="psstop") == before


@pytest.mark.influxdb
@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"api": "v1", "bucket": "nowhere"}, "create the bucket or database"),
        ({"api": "v1", "bucket": "psstop/nowhere"}, "correct what follows the /"),
        ({"api": "v1", "token": "a\nb"}, "write the token alone"),
        ({"api": "v2"}, 'set api = "v1"'),
    ],
)
def test_check_of_a_real_influxdb_names_the_cure(
    real_influxdb: InfluxDB, changes: dict[str, object], cure: str
) -> None:
    """A missing database and the wrong API are told apart."""
    problem = check(configured(real_influxdb.url, **changes), proxies={})

    assert problem is not None
    assert cure in problem


@pytest.mark.victoriametrics
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_check_of_a_real_victoriametrics_writes_nothing(real_victoriametrics: VictoriaMetrics, api: str) -> None:
    """All is well with VictoriaMetrics by either API, and the check leaves no series behind."""
    problem = check(configured(real_victoriametrics.url, api=api), proxies={})

    real_victoriametrics.request("/internal/force_flush")
    assert problem is None
    assert real_victoriametrics.request("/api/v1/export", {"match[]": '{__name__!=""}'}) == b""


@pytest.mark.parametrize(
    ("reply", "cure"),
    [
        (Reply(204), None),
        (Reply(400, b'{"code":"invalid","message":"writing requires points"}'), None),
        (Reply(400, b"unsupported path requested"), "check that url names the server itself"),
        (Reply(400, b"<html>400 No required SSL certificate was sent"), "set cert_file and key_file"),
        (Reply(401, b'{"code":"unauthorized"}'), "check token_file"),
        (Reply(403, b"forbidden"), "write permission"),
        (Reply(404, b'{"code":"not found","message":"bucket \\"psstop\\" not found"}'), "create the bucket"),
        (Reply(404, b"404 page not found\n"), 'api = "v1"'),
        (Reply(200, b"<html>please log in"), "this is not InfluxDB"),
        (Reply(301, headers={"Location": "https://elsewhere/"}), "redirects are not followed"),
        (Reply(503), "in trouble"),
        (Reply(429), "limits writes"),
        (Reply(405), "refuses the write"),
        (Reply(fault=Fault.SILENCE), "a firewall may be dropping"),
        (Reply(fault=Fault.CLOSE), "check url"),
    ],
)
def test_check_names_the_cure(faulty: FaultServer, reply: Reply, cure: str | None) -> None:
    """Whatever is wrong, the operator reads what was seen and what to do; nothing but a comment is sent."""
    faulty.script(reply)

    problem = check(configured(faulty.url, timeout=1), proxies={})

    assert (problem is None) == (cure is None)
    assert cure is None or (problem is not None and cure in problem and faulty.url in problem)
    assert faulty.requests[0].body == b"# psstop check\n"


def test_check_of_nothing_names_the_cure(tmp_path: Path) -> None:
    """Refused connections, unknown hosts and untrusted certificates each have their own cure."""
    with fault_server(certificate=self_signed(tmp_path)) as server:
        problems = [
            check(configured(url), proxies={})
            for url in (f"http://127.0.0.1:{free_port()}", "http://influx.invalid", server.url)
        ]

    cures = ("check the port", "check the host name", "set ca_file")
    assert [cure in (problem or "") for cure, problem in zip(cures, problems, strict=True)] == [True] * 3
