"""The checks of the files that the config names: token, CA certificates, the client's own certificate.

A check of a value returns it, or raises ValueError with what follows the key and the value in a message.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psstopd.delivery.tls import check_own

# The names under which systemd passes, LoadCredential= in systemd.exec(5), what a DynamicUser may not read.
CREDENTIALS = {"token_file": "influxdb-token", "cert_file": "influxdb-cert", "key_file": "influxdb-key"}
_OF_THE_SHIPPER = (*CREDENTIALS, "token", "ca_file")
_MAX_BYTES = 1 << 20


def file_problem(path: Path) -> str | None:
    """Say why the file at `path` cannot be used, None if it can be read and has content."""
    try:
        if path.exists() and not path.is_file():
            return "is not a regular file"
        with path.open("rb") as file:
            return None if file.read(_MAX_BYTES).strip() else "the file is empty"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    except ValueError as error:  # a NUL in the path
        return str(error)


def token_file(value: str) -> str:
    """Refuse a file that holds no token, and what is no path: it may be the token itself."""
    if not value.startswith("/"):
        raise ValueError("must be the absolute path of a file that holds the token")
    if problem := file_problem(Path(value)):
        cure = "write the token there, readable for the user who runs psstopd, or remove token_file"
        raise ValueError(f"{problem}; {cure}")
    return value


def ca_file(value: str) -> str | None:
    """Refuse a file that is not there; empty text is none, as if the key were absent."""
    if value and (problem := file_problem(Path(value))):
        raise ValueError(f"{problem}; put the CA certificate there, or remove ca_file to use the system's")
    return value or None


def cert_file(value: str) -> str | None:
    """Refuse a file that is not there, and what is no path: it may be the certificate itself, with its key."""
    return _own_file(value, "cert_file", "the client certificate")


def key_file(value: str) -> str | None:
    """Refuse a file that is not there, and what is no path: it may be the key itself."""
    return _own_file(value, "key_file", "the key of the client certificate")


def _own_file(value: str, key: str, content: str) -> str | None:
    """Refuse a file that is not there; empty text is none, as if the key were absent."""
    if value and not value.startswith("/"):
        raise ValueError(f"must be the absolute path of a file that holds {content}")
    if value and (problem := file_problem(Path(value))):
        cure = f"put {content} there, readable for the user who runs psstopd, or remove {key}"
        raise ValueError(f"{problem}; {cure}")
    return value or None


def client_certificate(certificate: str | None, key: str | None) -> None:
    """Refuse a key without a certificate, and what no TLS connection could use."""
    if certificate is not None:
        check_own(certificate, key)
    elif key is not None:
        raise ValueError("needs cert_file; name the certificate that this is the key of, or remove key_file")


def fill_in_credentials(values: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Point the keys for token and client certificate at the credentials that systemd passes.

    A key that names a file which can be read stays as it is. LoadCredential= reads as root what a DynamicUser may not,
    usually the very file that the config names. A blank credential is none: the unit sets one so that systemd starts it
    without a token file.
    """
    influxdb = values.get("influxdb")
    if "CREDENTIALS_DIRECTORY" not in environ or not isinstance(influxdb, dict):
        return
    for key, name in CREDENTIALS.items():
        credential, named = Path(environ["CREDENTIALS_DIRECTORY"], name), influxdb.get(key, "")
        if not file_problem(credential) and isinstance(named, str) and file_problem(Path(named)):
            influxdb[key] = str(credential)


def leave_to_shipper(values: Mapping[str, Any]) -> None:
    """Drop the token and what else only a connection takes: the sampler need not, and often may not, read it."""
    influxdb = values.get("influxdb")
    if isinstance(influxdb, dict):
        for key in _OF_THE_SHIPPER:
            influxdb.pop(key, None)
