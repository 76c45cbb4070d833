"""Everything that goes wrong between psstop and its server: nothing is lost, and docs/delivery.md says what happens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from psstopd.config import Secret
from psstopd.delivery.verdict import Verdict
from tests import certificates, real_stages, stages
from tests.faultserver import Fault, Reply
from tests.matrix import POISON, Case, Scene, Stage, document, play, row
from tests.real_stages import falling, freeze, influxdb_with_database, thaw, victoriametrics
from tests.servers import Server
from tests.stages import answering, bounded, misconfigured, presenting, refusing

DOCUMENT = Path(__file__).parents[2] / "docs" / "delivery.md"

KEEP, ASK, HALVE, ISOLATE = Verdict.KEEP, Verdict.ASK, Verdict.HALVE, Verdict.ISOLATE
WAITED = "kept; tries again after the 120 s asked for"
ENDED = "kept; the deadline ended the shipper, the daemon starts another"
SMALLER = "delivered in smaller parts"
ONE_LINE, MOST_LINES = f"psstop,host=web1,name={POISON}", "psstop,"

RESET = "ConnectionResetError: connection reset by peer"
BROKEN_PIPE = "BrokenPipeError: broken pipe"
REFUSED = "ConnectionRefusedError: connection refused"
CLOSED = "RemoteDisconnected: connection closed without an answer"
TIMED_OUT = "TimeoutError: timed out after 1 s"
CUT_SHORT = "IncompleteRead: answer cut short"
UNVERIFIED = "SSLCertVerificationError: TLS: certificate verify failed:"
OVER_DEADLINE = "log: shipper ended: a request was over its deadline"
PARTIAL = "partial write: unable to parse: dropped=1"


@contextmanager
def busy_until(directory: Path) -> Iterator[Scene]:
    """Ask for two minutes in the form of a date."""
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    with answering(Reply(503, headers={"Retry-After": until}))(directory) as scene:
        yield scene


def kept(injected: str, stage: Stage, *sees: str, verdict: Verdict = KEEP) -> Case:
    """Expect that everything is kept, and delivered once the fault is mended."""
    return Case(injected, stage, verdict, "kept", sees)


def aside(injected: str, stage: Stage, answer: str, *, verdict: Verdict = ISOLATE, flushes: int = 1) -> Case:
    """Expect that the line that is refused is set aside, and everything else delivered."""
    did = "set 1 of 25 lines aside, delivered the others"
    return Case(injected, stage, verdict, did, [f"quarantine: {answer}"], flushes)


def plain(status: int, *, verdict: Verdict = KEEP) -> Case:
    """Expect that everything is kept after a status without a body."""
    return kept(f"{status}", answering(Reply(status)), f"status {status}", verdict=verdict)


CASES = [
    kept("200 with a login page", answering(Reply(200, b"<html>log in")), "status 200 <html>log in"),
    *map(plain, (200, 202, 301, 302, 307, 308)),
    kept("400 for everything", answering(Reply(400, b"bad path")), "status 400 bad path", verdict=ISOLATE),
    kept("400 for most lines", refusing(MOST_LINES, Reply(400, b"no")), "status 400 no", verdict=ISOLATE),
    aside("400 for one line", refusing(ONE_LINE, Reply(400, b"no")), "status 400 no"),
    aside(
        "400 for one line, the others written",
        refusing(ONE_LINE, Reply(400, PARTIAL.encode()), writes_the_rest=True),
        f"status 400 {PARTIAL}",
    ),
    aside("422 for one line", refusing(ONE_LINE, Reply(422)), "status 422"),
    aside(
        "500 “partial write” for one line",
        refusing(ONE_LINE, Reply(500, PARTIAL.encode()), writes_the_rest=True),
        f"status 500 {PARTIAL}",
    ),
    *(plain(status, verdict=ASK) for status in (401, 403, 404, 405, 407, 410, 418)),
    *map(plain, (408, 425, 429)),
    Case("429, Retry-After: 120", answering(Reply(429, headers={"Retry-After": "120"})), KEEP, WAITED, ["status 429"]),
    Case("503, Retry-After: a date", busy_until, KEEP, WAITED, ["status 503"]),
    Case("413 above ten lines", bounded(10, Reply(413)), HALVE, SMALLER, ["nothing"]),
    Case("400 “too big” above ten lines", bounded(10, Reply(400, b"too big")), HALVE, SMALLER, ["nothing"]),
    kept("413 for everything", answering(Reply(413)), "status 413", verdict=HALVE),
    *map(plain, (500, 501, 502, 503, 504)),
    kept("502 with a proxy's page", answering(Reply(502, b"<html>bad gateway")), "status 502 <html>bad gateway"),
    kept("500 that is not UTF-8", answering(Reply(500, b"\xff\xfe")), "status 500 ��"),
    kept("500 with a terminal's sequences", answering(Reply(500, b"\x1b[2J")), r"status 500 \x1b[2J"),
    aside(
        "500 ten times, for one line",
        refusing(ONE_LINE, Reply(500, b"boom")),
        "status 500 boom",
        verdict=KEEP,
        flushes=10,
    ),
    kept("an answer cut short", answering(Reply(200, b"cut", fault=Fault.TRUNCATE)), CUT_SHORT),
    kept(
        "an answer that is not gzip and says so",
        answering(Reply(500, b"plain", headers={"Content-Encoding": "gzip"})),
        "DecodeError: ('Received response with content-encoding: gzip, but failed to decode it.', error('Err…",
    ),
    kept(
        "an answer of another protocol",
        answering(Reply(body=b"SSH-2.0-OpenSSH_9.2\r\n", fault=Fault.GARBAGE)),
        "BadStatusLine: not an HTTP answer",
    ),
    kept("204 after more than timeout", answering(Reply(204, delay_seconds=3)), TIMED_OUT),
    kept("no answer", answering(Reply(fault=Fault.SILENCE)), TIMED_OUT),
    Case("an answer byte by byte", answering(Reply(204, drip_seconds=0.2)), None, ENDED, [OVER_DEADLINE]),
    kept("the end of the connection for an answer", answering(Reply(fault=Fault.CLOSE)), CLOSED),
    kept("a reset before the body", answering(Reply(fault=Fault.RESET_BEFORE_BODY)), RESET, BROKEN_PIPE, CLOSED),
    kept("a reset during the body", answering(Reply(fault=Fault.RESET_DURING_BODY)), RESET, BROKEN_PIPE, CLOSED),
    kept("a reset after the body", answering(Reply(fault=Fault.RESET_AFTER_BODY)), RESET),
    Case(
        "a reset above twenty lines, three times",
        bounded(20, Reply(fault=Fault.RESET_AFTER_BODY)),
        KEEP,
        SMALLER,
        ["nothing"],
        flushes=4,
    ),
    kept("nobody listens", stages.nobody_listening, REFUSED),
    kept("packets are dropped", stages.no_way_in, TIMED_OUT),
    kept(
        "an unknown host",
        misconfigured(url="http://influx.invalid:8086"),
        "gaierror: DNS: name not known",
        "gaierror: DNS: no answer from the resolver",
    ),
    kept("no token file", stages.without_token, "FileNotFoundError: token_file …/token: no such file or directory"),
    kept("a self-signed certificate", presenting(stages.self_signed), f"{UNVERIFIED} self-signed certificate"),
    kept(
        "a certificate of another CA",
        presenting(stages.other_authority),
        f"{UNVERIFIED} unable to get local issuer certificate",
    ),
    kept("an expired certificate", presenting(certificates.expired), f"{UNVERIFIED} certificate has expired"),
    kept(
        "a certificate with another name",
        presenting(stages.other_name),
        f"{UNVERIFIED} IP address mismatch, certificate is not v…",
    ),
    kept("https:// to a server without TLS", stages.tls_without_tls, "SSLError: TLS: wrong version number"),
    kept("http:// to a server with TLS", stages.http_to_tls, CLOSED, RESET),
]
INFLUXDB_CASES = [
    kept("InfluxDB 1.6: ended", falling(influxdb_with_database, Server.stop, Server.start), REFUSED),
    kept("InfluxDB 1.6: killed", falling(influxdb_with_database, Server.kill, Server.start), REFUSED),
    kept("InfluxDB 1.6: stopped (SIGSTOP)", falling(influxdb_with_database, freeze, thaw), TIMED_OUT),
    kept(
        "InfluxDB 1.6: no such database",
        real_stages.without_database,
        r'status 404 {"error":"database not found: \"psstop\""}',
        verdict=ASK,
    ),
    kept(
        "InfluxDB 1.6: no such retention policy",
        real_stages.misconfigured(bucket="psstop/nowhere"),
        'status 500 {"error":"retention policy not found: nowhere"}',
    ),
    kept(
        "InfluxDB 1.6: wrong password",
        real_stages.misconfigured(token=Secret("psstop:wrong")),
        'status 401 {"error":"authorization failed"}',
        verdict=ASK,
    ),
    kept('InfluxDB 1.6: api = "v2"', real_stages.misconfigured(api="v2"), "status 404 404 page not found", verdict=ASK),
    kept(
        "InfluxDB 1.6: a retention policy that is too short",
        real_stages.short_memory,
        'status 400 {"error":"partial write: points beyond retention policy dropped=25"}',
        verdict=ISOLATE,
    ),
    Case("InfluxDB 1.6: small max-body-size", real_stages.small_bodies, HALVE, SMALLER, ["nothing"]),
    aside(
        "InfluxDB 1.6: one line with a field of another type",
        real_stages.type_conflict,
        r'status 400 {"error":"partial write: field type conflict: input field \"pid\" on measure…',
    ),
]
VICTORIAMETRICS_CASES = [
    kept("VictoriaMetrics: ended", falling(victoriametrics, Server.stop, Server.start), REFUSED),
    kept("VictoriaMetrics: killed", falling(victoriametrics, Server.kill, Server.start), REFUSED),
    kept("VictoriaMetrics: stopped (SIGSTOP)", falling(victoriametrics, freeze, thaw), TIMED_OUT),
    kept(
        "VictoriaMetrics: no disk space left",
        real_stages.without_space,
        'status 503 remoteAddr: "…"; requestURI: /write?db=psstop&precision=s; error when processing importe…',
    ),
]
ALL = [*CASES, *INFLUXDB_CASES, *VICTORIAMETRICS_CASES]


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """Collect a row of the table from each case that ran."""
    return {}


@pytest.mark.parametrize(
    "case",
    [
        *CASES,
        *(pytest.param(case, marks=pytest.mark.influxdb) for case in INFLUXDB_CASES),
        *(pytest.param(case, marks=pytest.mark.victoriametrics) for case in VICTORIAMETRICS_CASES),
    ],
    ids=lambda case: case.injected,
)
def test_a_failure_loses_nothing(case: Case, rows: dict[str, str], tmp_path: Path) -> None:
    """Whatever happens, the operator is told, and once it is mended every point is delivered or was poison."""
    with case.stage(tmp_path) as scene:
        seen = play(case, scene, tmp_path)

    assert (seen.verdict, seen.did) == (case.verdict, case.did)
    assert seen.sees in case.sees
    assert (seen.lost, seen.wrongly_aside, seen.error_at_last) == (0, 0, None)
    rows[case.injected] = row(case, seen)


def test_the_documentation_says_what_happened(rows: dict[str, str]) -> None:
    """Each case that ran is in the table as it went, and nothing else is; `make matrix` writes it anew."""
    if os.environ.get("MATRIX") == "write" and len(rows) == len(ALL):
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(rows[case.injected] for case in ALL))
    written = DOCUMENT.read_text()
    documented = [line for line in written.splitlines() if line.startswith("| ")][1:]

    assert [line for line in documented if line in rows.values()] == list(rows.values())
    assert written == document(documented)
    assert len(documented) == len(ALL)
