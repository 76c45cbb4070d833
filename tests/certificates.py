"""Certificates for servers and clients of tests, made with the openssl program: good ones, and each kind of bad one."""

import subprocess
from pathlib import Path
from typing import NamedTuple

LOOPBACK = "IP:127.0.0.1,DNS:localhost"  # as in a subjectAltName
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


class Certificate(NamedTuple):
    """A certificate and its key, each in a PEM file of its own."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of a test's own; its files are in a directory that is the test's to remove."""

    def __init__(self, directory: Path, *, name: str = "authority") -> None:
        self._directory = directory
        self._own = _self_signed(directory, name, "basicConstraints=critical,CA:TRUE", days=2)

    @property
    def certificate(self) -> Path:
        """What a client sets ca_file to, and a server trusts clients by."""
        return self._own.certificate

    def issue(self, name: str, *, names: str = LOOPBACK, days: int = 2) -> Certificate:
        """Sign a certificate for `names`, valid for `days` from now: -1 was over yesterday. `name` names its files."""
        issued = _files(self._directory, name)
        request = self._directory / f"{name}.csr"
        subject = ("-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")
        _openssl("req", *_NEW_KEY, *subject, "-keyout", issued.key, "-out", request)
        signed_by = ("-CA", self._own.certificate, "-CAkey", self._own.key, "-copy_extensions", "copy")
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", days, "-out", issued.certificate)
        return issued


def self_signed(directory: Path, *, names: str = LOOPBACK) -> Certificate:
    """Make a certificate that no CA store knows, for `names`; it is its own CA, so it serves as ca_file too."""
    return _self_signed(directory, "certificate", f"subjectAltName={names}", days=2)


def expired(directory: Path) -> tuple[Certificate, Path]:
    """Make a certificate that was over yesterday; give it with the file of the CA that signed it."""
    authority = Authority(directory, name="expired-authority")
    return authority.issue("expired", days=-1), authority.certificate


def encrypted(certificate: Certificate, *, passphrase: str) -> Certificate:
    """Give the same certificate with its key in a file that only the passphrase opens."""
    key = certificate.key.with_suffix(".encrypted")
    _openssl("pkey", "-in", certificate.key, "-aes256", "-passout", f"pass:{passphrase}", "-out", key)
    return certificate._replace(key=key)


def _self_signed(directory: Path, name: str, extension: str, *, days: int) -> Certificate:
    made = _files(directory, name)
    subject = ("-nodes", "-subj", f"/CN=psstop {name}", "-addext", extension, "-days", days)
    _openssl("req", "-x509", *_NEW_KEY, *subject, "-keyout", made.key, "-out", made.certificate)
    return made


def _files(directory: Path, name: str) -> Certificate:
    return Certificate(directory / f"{name}.pem", directory / f"{name}-key.pem")


def _openssl(*arguments: str | int | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
