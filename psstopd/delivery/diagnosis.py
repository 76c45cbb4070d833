"""Ask a server whether it would take points, without writing any, and name the cure where it would not."""

import http.client
import re
from collections.abc import Mapping
from contextlib import closing

from psstopd.config import InfluxDBConfig
from psstopd.delivery.causes import without_userinfo
from psstopd.delivery.influxdb import InfluxDBSink
from psstopd.delivery.sink import Answer, accepted

# A comment writes nothing. InfluxDB 1.x and VictoriaMetrics take it with a 204.
_HARMLESS = "# psstop check"

# InfluxDB 2.x looks at token, organization and bucket first, and then refuses a write without points in these words.
_NOTHING_TO_WRITE = re.compile(r"requires points|no data|no points", re.IGNORECASE)

_CURES_BY_ERROR = {
    "gaierror": "check the host name in url and this machine's resolver",
    "ConnectionRefusedError": "check the port in url, and that the server runs and listens on that address",
    "TimeoutError": "check host and port in url; a firewall may be dropping the packets",
    "SSLCertVerificationError": "set ca_file to the CA of the server's certificate, and url to a name in it",
    "SSLError": "check that this port speaks TLS, or begin url with http://",
    "UnusableCertificate": "check cert_file and key_file",
    "FileNotFoundError": "create the file or correct its path",
    "PermissionError": "let the user that psstopd runs as read the file or, if none is named, reach the address",
}

# What the words of an error tell beyond its class.
_CURES_BY_WORDS = {
    "certificate has expired": "renew the server's certificate, and check this machine's clock",
    "not yet valid": "check the clocks of the server and of this machine",
    "mismatch, certificate is not valid for": "set url to a name in the server's certificate",
    "client certificate expired": "renew cert_file and key_file",
    "client certificate": "set cert_file and key_file to a certificate that the server accepts",
}

_CURES_BY_STATUS = {
    400: "check that url names the server itself, without a path, and that api fits it",
    401: "the token is missing or wrong: check token_file",
    403: "the token may not write here: give it write permission on the bucket",
    404: "create the bucket or database, or correct bucket and org",
    407: "the proxy wants a password: put user:password@ before its host in https_proxy",
    429: "the server limits writes; it is reachable, and psstop will go on trying",
}

_CURES_BY_CLASS = {
    2: "a write is answered with 204, so this is not InfluxDB: a proxy or a login page may answer in its place",
    3: "redirects are not followed: set url to the address that the server redirects to",
    4: "the server refuses the write: see its log",
    5: "the server, or a proxy before it, is in trouble: see its log; psstop will go on trying",
}


def check(config: InfluxDBConfig, *, proxies: Mapping[str, str] | None = None) -> str | None:
    """Post a comment, which writes nothing, and say what is wrong and what would cure it; None if writes would do."""
    with closing(InfluxDBSink(config, proxies=proxies)) as sink:
        return diagnose(sink.send([_HARMLESS]), config)


def diagnose(answer: Answer, config: InfluxDBConfig) -> str | None:
    """Judge the answer to a write of nothing."""
    status = answer.status
    where = f"{without_userinfo(config.url)}: "
    if status is None:
        return f"{where}{answer.error}; {_transport_cure(answer.error or '')}"
    if accepted(answer) or (status == http.client.BAD_REQUEST and _NOTHING_TO_WRITE.search(answer.body)):
        return None
    return f"{where}HTTP status {status}{f' ({answer.body})' if answer.body else ''}; {_cure(status, answer, config)}"


def _transport_cure(error: str) -> str:
    """Name what an operator can do where there was no answer."""
    for words, cure in _CURES_BY_WORDS.items():
        if words in error:
            return cure
    otherwise = "write the token alone into it" if ": token" in error else "check url, and any proxy on the way"
    return _CURES_BY_ERROR.get(error.partition(":")[0], otherwise)


def _cure(status: int, answer: Answer, config: InfluxDBConfig) -> str:
    """Name what an operator can do about a status."""
    if status == http.client.NOT_FOUND and config.api == "v2" and "page not found" in answer.body:
        return 'this server has no /api/v2/write; if it is InfluxDB 1.x, set api = "v1"'
    if status == http.client.BAD_REQUEST and "SSL certificate" in answer.body:  # nginx
        return _CURES_BY_WORDS["client certificate"]
    if "retention policy not found" in answer.body:  # InfluxDB 1.x says so with a 500
        return "correct what follows the / in bucket, or leave it out"
    return _CURES_BY_STATUS.get(status) or _CURES_BY_CLASS.get(status // 100, "this is not an HTTP server")
