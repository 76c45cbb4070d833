"""Say in an operator's words why there was no answer: what is at the bottom of the client's and urllib3's wrappers."""

import http.client
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

_DNS_WORDS = {socket.EAI_NONAME: "name not known", socket.EAI_AGAIN: "no answer from the resolver"}

# What a server says of the client certificate before it hangs up, by the name of its alert (RFC 8446, section 6.2).
# Which version of TLS a name begins with says nothing: OpenSSL gives each alert that of the version that brought it.
_ALERTS = {
    "certificate required": "the server demands a client certificate",
    "handshake failure": "the server breaks off the handshake, as one does that demands a client certificate",
    "unknown ca": "the server does not know the CA of the client certificate",
    "certificate expired": "the server finds the client certificate expired",
    "certificate revoked": "the server finds the client certificate revoked",
    "bad certificate": "the server refuses the client certificate",
    "unsupported certificate": "the server refuses the client certificate",
    "certificate unknown": "the server refuses the client certificate",
    "access denied": "the server refuses the client certificate",
}

# What the standard library raises below urllib3, the special before the general, in an operator's words.
_WORDS: tuple[tuple[type[BaseException], Callable[[Any, int], str]], ...] = (
    (ssl.SSLCertVerificationError, lambda e, _: f"TLS: certificate verify failed: {e.verify_message.rstrip('.')}"),
    (ssl.SSLError, lambda e, _: f"TLS: {_tls_words(e.reason or 'handshake failed')}"),
    (socket.gaierror, lambda e, _: f"DNS: {_DNS_WORDS.get(e.errno) or str(e.strerror).lower()}"),
    (TimeoutError, lambda _, seconds: f"timed out after {seconds} s"),
    (http.client.RemoteDisconnected, lambda *_: "connection closed without an answer"),
    (http.client.IncompleteRead, lambda *_: "answer cut short"),
    (http.client.HTTPException, lambda *_: "not an HTTP answer"),
    (OSError, lambda e, _: os_words(e)),
)


def cause(error: BaseException, timeout_seconds: int) -> str:
    """Name the exception at the bottom of urllib3's wrappers, and what it means in words."""
    for link in _chain(error):
        for kind, words in _WORDS:
            if isinstance(link, kind):
                return f"{type(link).__name__}: {words(link, timeout_seconds)}"
    # What is left is urllib3's own: an address or a proxy that it cannot make sense of, a body it cannot decompress.
    message = re.sub(r"<[^<>]* at 0x[0-9a-f]+>:? ?", "", str(error))
    return f"{type(error).__name__}: {without_userinfo(message)}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _tls_words(reason: str) -> str:
    """Put OpenSSL's name for what went wrong into words."""
    words = reason.replace("_", " ").lower()
    version, is_alert, alert = words.rpartition(" alert ")
    return _ALERTS.get(alert, words) if is_alert and version else words


def os_words(error: OSError) -> str:
    """Say what the system said, with the file that it is about."""
    words = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{error.filename}: {words}" if error.filename else words


def without_userinfo(text: str) -> str:
    """Blot out user and password in the addresses of a text."""
    return re.sub(r"//[^/@ ]*@", "//***@", text)
