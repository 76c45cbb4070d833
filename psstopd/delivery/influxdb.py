"""Send line protocol to InfluxDB, VictoriaMetrics and their kin through InfluxDB's own client.

Of influxdb-client 1.50 only `call_api` is used: the batching mode loses points at exit and after its last retry,
`Point` is twenty times slower than a cached prefix, `enable_gzip` compresses at level 9, and the write APIs take any
2xx for success. What an outcome means is not decided here: each becomes an Answer.
"""

import base64
import gzip
import http.client
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from psstopd import __version__
from psstopd.config import InfluxDBConfig
from psstopd.delivery.sink import Answer, accepted, excerpt

_MILLISECONDS = 1000
_GZIP_LEVEL = 1  # 4.6 times smaller for a seventh of the time that level 9 takes to reach 5.8

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
    "FileNotFoundError": "create the file or correct its path",
    "PermissionError": "let the user that psstopd runs as read the file or, if none is named, reach the address",
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

_DNS_WORDS = {socket.EAI_NONAME: "name not known", socket.EAI_AGAIN: "no answer from the resolver"}

# What the standard library raises below urllib3, the special before the general, in an operator's words.
_WORDS: tuple[tuple[type[BaseException], Callable[[Any, int], str]], ...] = (
    (ssl.SSLCertVerificationError, lambda e, _: f"TLS: certificate verify failed: {e.verify_message.rstrip('.')}"),
    (ssl.SSLError, lambda e, _: f"TLS: {(e.reason or 'handshake failed').replace('_', ' ').lower()}"),
    (socket.gaierror, lambda e, _: f"DNS: {_DNS_WORDS.get(e.errno) or str(e.strerror).lower()}"),
    (TimeoutError, lambda _, seconds: f"timed out after {seconds} s"),
    (http.client.RemoteDisconnected, lambda *_: "connection closed without an answer"),
    (http.client.IncompleteRead, lambda *_: "answer cut short"),
    (http.client.HTTPException, lambda *_: "not an HTTP answer"),
    (OSError, lambda e, _: _os_words(e)),
)


class InfluxDBSink:
    """One keep-alive connection to one server, opened by the first send; whoever made the sink closes it."""

    def __init__(self, config: InfluxDBConfig, *, proxies: Mapping[str, str] | None = None) -> None:
        """Send where `config` says; `proxies` stands in for the environment's `https_proxy`, `no_proxy` and so on."""
        self._config = config
        self._proxies = getproxies() if proxies is None else proxies
        self._client: Any = None  # the client's methods have no types

    def send(self, lines: Sequence[str]) -> Answer:
        """Post a batch once, without retries, with the token as it is on disk now."""
        body = gzip.compress("\n".join(lines).encode(errors="backslashreplace"), _GZIP_LEVEL, mtime=0)
        try:
            authorization, secrets = _authorization(self._config)
        except (OSError, ValueError) as error:
            return Answer(None, error=f"{type(error).__name__}: {_token_problem(error, self._config.token_file)}")
        try:
            response = self._post(body, authorization)
            return _answer(response.status, response.data, response.headers, secrets=secrets)
        except ApiException as error:
            if error.status and error.headers is not None:
                return _answer(error.status, error.body, error.headers, secrets=secrets)
            return self._failure(error, secrets)
        except (HTTPError, OSError, ValueError) as error:
            return self._failure(error, secrets)

    def close(self) -> None:
        """Close the connection; the next send would open another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _post(self, body: bytes, authorization: Mapping[str, str]) -> Any:  # noqa: ANN401 - the client has no types
        """Make the request and return urllib3's response; ApiException for every status but 2xx."""
        if self._client is None:
            self._client = _client(self._config, self._proxies)
        path, query = _target(self._config)
        timeout = self._config.timeout * _MILLISECONDS
        return self._client.api_client.call_api(
            path,
            "POST",
            query_params=query,
            header_params={
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Encoding": "gzip",
                "Accept": "application/json",
                **authorization,
            },
            body=body,
            auth_settings=[],
            _return_http_data_only=True,
            # Otherwise the client decodes the body as strict UTF-8, and where that fails the status is lost.
            _preload_content=False,
            _request_timeout=(timeout, timeout),
            urlopen_kw={"redirect": False},
        )

    def _failure(self, error: Exception, secrets: Sequence[str]) -> Answer:
        return Answer(None, error=excerpt(_redact(_cause(error, self._config.timeout), secrets)))


def check(config: InfluxDBConfig, *, proxies: Mapping[str, str] | None = None) -> str | None:
    """Post a comment, which writes nothing, and say what is wrong and what would cure it; None if writes would do."""
    with closing(InfluxDBSink(config, proxies=proxies)) as sink:
        return diagnose(sink.send([_HARMLESS]), config)


def diagnose(answer: Answer, config: InfluxDBConfig) -> str | None:
    """Judge the answer to a write of nothing."""
    status = answer.status
    where = f"{_without_userinfo(config.url)}: "
    if status is None:
        return f"{where}{answer.error}; {_transport_cure(answer.error or '')}"
    if accepted(answer) or (status == http.client.BAD_REQUEST and _NOTHING_TO_WRITE.search(answer.body)):
        return None
    return f"{where}HTTP status {status}{f' ({answer.body})' if answer.body else ''}; {_cure(status, answer, config)}"


def _transport_cure(error: str) -> str:
    """Name what an operator can do where there was no answer."""
    otherwise = "write the token alone into it" if ": token" in error else "check url, and any proxy on the way"
    return _CURES_BY_ERROR.get(error.partition(":")[0], otherwise)


def _cure(status: int, answer: Answer, config: InfluxDBConfig) -> str:
    """Name what an operator can do about a status."""
    if status == http.client.NOT_FOUND and config.api == "v2" and "page not found" in answer.body:
        return 'this server has no /api/v2/write; if it is InfluxDB 1.x, set api = "v1"'
    if "retention policy not found" in answer.body:  # InfluxDB 1.x says so with a 500
        return "correct what follows the / in bucket, or leave it out"
    return _CURES_BY_STATUS.get(status) or _CURES_BY_CLASS.get(status // 100, "this is not an HTTP server")


def _client(config: InfluxDBConfig, proxies: Mapping[str, str]) -> InfluxDBClient:
    """Make the client without its own token, retries or compression; urllib3 by itself ignores proxy variables."""
    if config.ca_file:
        Path(config.ca_file).open("rb").close()  # fails with the file's name in it, as urllib3 does not
    proxy, headers = _proxy(config.url, proxies)
    client = InfluxDBClient(
        config.url,
        retries=False,
        ssl_ca_cert=config.ca_file or None,
        connection_pool_maxsize=1,
        proxy=proxy,
        proxy_headers=headers,
    )
    client.api_client.user_agent = f"psstop/{__version__}"
    return client


def _proxy(url: str, proxies: Mapping[str, str]) -> tuple[str | None, dict[str, str] | None]:
    """Choose the proxy for `url` and the header for the user and password in its address; ValueError for no URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("url must begin with http:// or https://")
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2], dict(proxies)):
        return None, None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    userinfo = urlsplit(proxy).netloc.rpartition("@")[0]
    return proxy, make_headers(proxy_basic_auth=unquote(userinfo)) if userinfo else None


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
        return f"token_file {_os_words(error)}"
    problem = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
    return f"token_file {token_file}: {problem}" if token_file else f"token: {problem}"


def _answer(status: int, body: bytes, headers: Mapping[str, str], *, secrets: Sequence[str]) -> Answer:
    """Keep of an HTTP answer what the verdict and the operator need; a server may echo the request, token and all."""
    retry_after = headers.get("Retry-After")
    return Answer(
        status,
        body=excerpt(_redact(body.decode(errors="replace").strip(), secrets)),
        retry_after=None if retry_after is None else excerpt(_redact(retry_after, secrets)),
    )


def _redact(text: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _cause(error: BaseException, timeout_seconds: int) -> str:
    """Name the exception at the bottom of urllib3's wrappers, and what it means in words."""
    for link in _chain(error):
        for kind, words in _WORDS:
            if isinstance(link, kind):
                return f"{type(link).__name__}: {words(link, timeout_seconds)}"
    # What is left is urllib3's own: an address or a proxy that it cannot make sense of, a body it cannot decompress.
    message = re.sub(r"<[^<>]* at 0x[0-9a-f]+>:? ?", "", str(error))
    return f"{type(error).__name__}: {_without_userinfo(message)}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _os_words(error: OSError) -> str:
    words = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{error.filename}: {words}" if error.filename else words


def _without_userinfo(text: str) -> str:
    return re.sub(r"//[^/@ ]*@", "//***@", text)
