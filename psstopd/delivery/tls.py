"""What a TLS connection needs: whom to believe, and the client's own certificate where the server asks for one."""

import errno
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from psstopd.delivery.causes import os_words

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Socket(ssl.SSLSocket):
    """One connection, which tells a server that has hung up amid a request the way a plain one does."""

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send all of `data`. Raises BrokenPipeError where the server has closed, or another OSError.

        After that error urllib3 reads what the server said before it closed: an early answer, or in TLS 1.3 the alert
        about a client certificate, which servers judge while the client already writes. After SSLEOFError, which is
        what `ssl` raises, it does not look.
        """
        try:
            super().sendall(data, flags)
        except ssl.SSLEOFError as error:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error


class UnusableCertificate(ValueError):  # noqa: N818 - says what is wrong with it
    """Raised when the client certificate can't be used; the message has file and cure, and nothing of the content."""


def tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """Make what verifies servers by `ca_file` (None: the system's CAs) and shows them the client certificate, if any.

    The standard library's `create_default_context` would also obey SSLKEYLOGFILE and write every session's secrets to
    a file. Raises OSError with the file's name in it, ssl.SSLError for a CA file without certificates, and
    UnusableCertificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificates and names
    context.sslsocket_class = _Socket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.post_handshake_auth = True  # for servers that ask for the client certificate once they know the path
    if ca_file is None:
        context.load_default_certs()
    else:
        Path(ca_file).open("rb").close()  # fails with the file's name in it, as OpenSSL does not
        context.load_verify_locations(ca_file)
    if cert_file is not None:
        _load_own(context, cert_file, key_file)
    return context


def check_own(cert_file: str, key_file: str | None) -> None:
    """Raise UnusableCertificate where a connection could not show this certificate; key_file None: it holds both."""
    _load_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert_file, key_file)


def _load_own(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    """Load certificate and key; an encrypted key is refused where OpenSSL would ask the terminal for a passphrase."""
    certificate, key = _pem(cert_file), _pem(key_file or cert_file)
    if b"-----BEGIN CERTIFICATE" not in certificate:
        raise UnusableCertificate(f"{cert_file}: holds no certificate; put the client certificate there, in PEM")
    if b"PRIVATE KEY-----" not in key:
        cure = "put it there, in PEM" if key_file else "name the file that does in key_file"
        raise UnusableCertificate(f"{key_file or cert_file}: holds no private key; {cure}")
    try:
        context.load_cert_chain(cert_file, key_file, password=_refuse_passphrase)
    except _Encrypted as error:
        cure = "store it without, as openssl pkey does, for psstop's user alone"
        raise UnusableCertificate(
            f"{key_file or cert_file}: the private key is encrypted, and nobody is there to type its passphrase; {cure}"
        ) from error
    except ssl.SSLError as error:
        raise UnusableCertificate(_mismatch(error, cert_file, key_file)) from error


def _pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UnusableCertificate(f"{os_words(error)}; put the client certificate and its key there") from error


class _Encrypted(Exception):  # noqa: N818 - likewise
    """Raised by OpenSSL's question for a passphrase."""


def _refuse_passphrase() -> str:
    raise _Encrypted


def _mismatch(error: ssl.SSLError, cert_file: str, key_file: str | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        cure = "put the key there that the certificate was issued for"
        return f"{key_file or cert_file}: is not the key of the certificate in {cert_file}; {cure}"
    files = cert_file if key_file is None else f"{cert_file} and {key_file}"
    return f"{files}: {(error.reason or 'unreadable').replace('_', ' ').lower()}; put certificate and key there, in PEM"
