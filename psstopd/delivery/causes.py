"""Say in an operator's words why there was no answer: what is at the bottom of the client's and urllib3's wrappers."""

import http.client
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

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


def os_words(error: OSError) -> str:
    """Say what the system said, with the file that it is about."""
    words = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{error.filename}: {words}" if error.filename else words


def without_userinfo(text: str) -> str:
    """Blot out user and password in the addresses of a text."""
    return re.sub(r"//[^/@ ]*@", "//***@", text)
