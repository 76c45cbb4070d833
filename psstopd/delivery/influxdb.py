"""Send line protocol to InfluxDB, VictoriaMetrics and their kin through InfluxDB's own client.

Of influxdb-client 1.50 only the layer that makes a request is used: the batching mode loses points at exit and after
its last retry, `Point` is twenty times slower than a cached prefix, `enable_gzip` compresses at level 9, and the write
APIs take any 2xx for success. What an outcome means is not decided here: each becomes an Answer.
"""

import base64
import socket
import ssl
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec, module_from_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies

from urllib3.exceptions import HTTPError

from psstopd import __version__
from psstopd.config import InfluxDBConfig
from psstopd.delivery.causes import cause, os_words
from psstopd.delivery.proxies import passwords, proxy_for
from psstopd.delivery.sink import Answer, excerpt
from psstopd.delivery.tls import UnusableCertificate, tls_context

# These packages import 300 models of the server's API when they are run: 16 MiB for a client that only posts.
for _package in ("influxdb_client", "influxdb_client.client"):
    if _package not in sys.modules and (_spec := find_spec(_package)):
        sys.modules[_package] = module_from_spec(_spec)
from influxdb_client._sync.rest import RESTClientObject  # noqa: E402
from influxdb_client.configuration import Configuration  # noqa: E402
from influxdb_client.rest import ApiException  # noqa: E402

_Stamp: TypeAlias = tuple[int, int, int]  # what tells a file from its former self: mtime, inode, size

_MILLISECONDS = 1000
_GZIP_FORMAT = 31  # wbits of zlib for a window of 32 KiB in the format of gzip(1)
_LINES_AT_ONCE = 100
_GZIP_LEVEL = 1  # 4.6 times smaller for a seventh of the time that level 9 takes to reach 5.8


class InfluxDBSink:
    """One keep-alive connection to one server, opened by the first send; whoever made the sink closes it."""

    def __init__(self, config: InfluxDBConfig, *, proxies: Mapping[str, str] | None = None) -> None:
        """Send where `config` says; `proxies` stands in for the environment's `https_proxy`, `no_proxy` and so on."""
        self._config = config
        self._proxies = getproxies() if proxies is None else proxies
        self._passwords = [secret for proxy in self._proxies.values() for secret in passwords(proxy)]
        self._client: Any = None  # the client's methods have no types
        self._socket: socket.socket | None = None  # of the last answer
        self._stamps: list[_Stamp | None] = []  # of the certificates that it was made with

    def send(self, lines: Iterable[str]) -> Answer:
        """Post a batch once, without retries, with the token and the certificates as they are on disk now."""
        body = _compressed(lines)
        try:
            authorization, tokens = _authorization(self._config)
        except (OSError, ValueError) as error:
            return Answer(None, error=f"{type(error).__name__}: {_token_problem(error, self._config.token_file)}")
        secrets = (*tokens, *self._passwords)
        try:
            response = self._post(body, authorization)
            is_fresh = self._is_fresh(response)
            answer = _answer(response.status, response.data, response.headers, secrets=secrets)
            return replace(answer, is_fresh=is_fresh)
        except ApiException as error:
            if error.status and error.headers is not None:
                return _answer(error.status, error.body, error.headers, secrets=secrets)
            return self._failure(error, secrets)
        except (HTTPError, OSError, ValueError) as error:
            return self._failure(error, secrets)

    def close(self) -> None:
        """Close the connection; the next send would open another."""
        if self._client is not None:
            self._client.pool_manager.clear()
            self._client = None

    def _post(self, body: bytes, authorization: Mapping[str, str]) -> Any:  # noqa: ANN401 - the client has no types
        """Make the request and return urllib3's response; ApiException for every status but 2xx."""
        self._renew_client()
        path, query = _target(self._config)
        timeout = self._config.timeout * _MILLISECONDS
        return self._client.request(
            "POST",
            self._config.url.rstrip("/") + path,
            query_params=query,
            headers={
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Encoding": "gzip",
                "Accept": "application/json",
                "User-Agent": f"psstop/{__version__}",
                **authorization,
            },
            body=body,
            # Otherwise the client decodes the body as strict UTF-8, and where that fails the status is lost.
            _preload_content=False,
            _request_timeout=(timeout, timeout),
            redirect=False,
        )

    def _is_fresh(self, response: Any) -> bool:  # noqa: ANN401 - as in _post
        """Tell whether an answer came over another connection than the last: urllib3 replaces a dropped one silently.

        That may be all there is to see of a server that crashed and came back between two requests.
        """
        before, self._socket = self._socket, response.connection and response.connection.sock
        return self._socket is None or self._socket is not before

    def _renew_client(self) -> None:
        """Have a client that knows the certificates as they are on disk: a new one once they have changed."""
        stamps = [_stamp(file) for file in (self._config.ca_file, self._config.cert_file, self._config.key_file)]
        if stamps != self._stamps:
            self.close()
        if self._client is None:
            self._client, self._stamps = _client(self._config, self._proxies), stamps

    def _failure(self, error: Exception, secrets: Sequence[str]) -> Answer:
        if isinstance(error, UnusableCertificate):
            return Answer(None, error=excerpt(f"{type(error).__name__}: {error}"))
        return Answer(None, error=excerpt(_redact(cause(error, self._config.timeout), secrets)))


def _compressed(lines: Iterable[str]) -> bytes:
    """Write lines as a gzip file, some at a time, so that a batch is never in memory as text."""
    gzip = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT)
    rest = iter(lines)
    parts = []
    while some := list(islice(rest, _LINES_AT_ONCE)):
        parts.append(gzip.compress("".join(f"{line}\n" for line in some).encode(errors="backslashreplace")))
    return b"".join((*parts, gzip.flush()))


def _client(config: InfluxDBConfig, proxies: Mapping[str, str]) -> RESTClientObject:
    """Make the client, which has no retries or compression; urllib3 by itself ignores proxy variables."""
    settings = Configuration()  # type: ignore[no-untyped-call]
    settings.proxy, settings.proxy_headers = proxy_for(config.url, proxies)
    settings.ssl_ca_cert = config.ca_file or None  # for a proxy that speaks TLS, which has a context of its own
    settings.ssl_context = _context(config)
    return RESTClientObject(settings, maxsize=1)  # type: ignore[no-untyped-call]


def _context(config: InfluxDBConfig) -> ssl.SSLContext | None:
    """Give the side of TLS that is ours; None without TLS, as an unused file must not stop a delivery."""
    if urlsplit(config.url).scheme != "https":
        return None
    return tls_context(config.ca_file or None, config.cert_file, config.key_file)


def _stamp(file: str | None) -> _Stamp | None:
    try:
        status = Path(file).stat() if file else None
    except OSError:
        return None
    return status and (status.st_mtime_ns, status.st_ino, status.st_size)


def _target(config: InfluxDBConfig) -> tuple[str, list[tuple[str, str]]]:
    """Return the path and query of the write endpoint; v1's bucket is database[/retention-policy]."""
    if config.api == "v1":
        database, _, retention_policy = config.bucket.partition("/")
        rp = [("rp", retention_policy)] if retention_policy else []
        return "/write", [("db", database), *rp, ("precision", "s")]
    return "/api/v2/write", [("org", config.org or "-"), ("bucket", config.bucket), ("precision", "s")]


def _authorization(config: InfluxDBConfig) -> tuple[dict[str, str], list[str]]:
    """Read the token; return the header for it and the texts that must not show up anywhere.

    OSError or ValueError, with a message that says nothing of the content, if there is no usable token where there
    should be one.
    """
    token = Path(config.token_file).read_bytes().decode().strip() if config.token_file else config.token
    if token is None:
        return {}, []
    user, colon, password = token.partition(":")
    if config.api == "v1" and user and colon:
        basic = base64.b64encode(token.encode()).decode()
        return {"Authorization": f"Basic {basic}"}, [token, basic, password]
    # http.client would say so too, and quote the token in its message.
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError("empty, or holds characters that an HTTP header cannot carry")
    return {"Authorization": f"Token {token}"}, [token]


def _token_problem(error: Exception, token_file: str | None) -> str:
    """Say what is wrong with the token, and never what it is."""
    if isinstance(error, OSError):
        return f"token_file {os_words(error)}"
    problem = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
    return f"token_file {token_file}: {problem}" if token_file else f"token: {problem}"


def _answer(status: int, body: bytes, headers: Mapping[str, str], *, secrets: Sequence[str]) -> Answer:
    """Keep of an HTTP answer what the verdict and the operator need; a server may echo the request, token and all."""
    retry_after = headers.get("Retry-After")
    return Answer(
        status,
        body=excerpt(_redact(body.decode(errors="replace").strip(), secrets)),
        retry_after=None if retry_after is None else excerpt(_redact(retry_after, secrets)),
        date=headers.get("Date"),
    )


def _redact(text: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text
