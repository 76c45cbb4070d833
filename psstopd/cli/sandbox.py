"""What the shipper may open, and nothing else: who takes it over from the network finds the journal and no more."""

import logging
import os
import resource
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from psstopd.journal.cursor import cursor_path
from psstopd.kernel import landlock

if TYPE_CHECKING:
    from psstopd.config import Config

log = logging.getLogger("psstopd.shipper")

# What Python, OpenSSL and the C library's resolver read when they come to need it.
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/nix/store", "/dev/urandom", "/proc/sys/crypto"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/crypto-policies"),
    *("/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf"),
    *("/run/systemd/resolve", "/run/nscd"),
)
_SYSTEM_FILES = (
    *("/etc/localtime", "/etc/machine-id"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"),
)
# Directories with much in them that is none of the shipper's business; likewise everybody's home.
_SHARED = {
    *("/", "/dev", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/run/secrets", "/srv", "/var", "/var/lib"),
    *("/etc", "/etc/ssl", "/etc/ssl/private", "/etc/pki", "/etc/pki/tls", "/etc/pki/tls/private"),
    *("/dev/shm", "/tmp", "/var/tmp"),  # noqa: S108 - nothing is written there
}

Resolve = Callable[[str], str]
Identity = tuple[str, int, int]


class Needs(NamedTuple):
    """What the shipper opens: directories, but for `files`, which may be replaced by others of the same name."""

    readable: tuple[str, ...]
    journal: tuple[str, ...]
    writable: tuple[str, ...]
    files: tuple[str, ...]
    connect: bool


class Sandbox:
    """The confinement of this process; lives as long as it. An empty one, without Landlock, confines nothing."""

    def __init__(self, files: Iterable[str] = (), directories: Iterable[str] = ()) -> None:
        self._files, self._directories = tuple(files), tuple(directories)
        self._named = self._identities()

    def is_outdated(self) -> bool:
        """Tell whether something that was named to the kernel has been replaced: time for a new process."""
        now = self._identities()
        replaced = [path for path, identity in now.items() if identity != self._named[path]]
        if replaced:
            log.info("starting anew to read what was replaced: files=%s", ",".join(replaced))
        return bool(replaced)

    def _identities(self) -> dict[str, Identity | None]:
        files = {file: _identity(place_of(file)) for file in self._files}
        return files | {directory: _identity(directory) for directory in self._directories}


def enter(config: "Config", *, delivers: bool) -> Sandbox:
    """Confine this process for good, as far as the kernel can; dump no core, which would hold the token."""
    with suppress(ValueError, OSError):  # psstop-shipper.service forbids the call, and sets LimitCORE=0
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    needed = needs(config, delivers=delivers, interpreter=_interpreter(), trusted=_trusted() if delivers else ())
    for directory in needed.writable:  # only what is there can be named to the kernel
        with suppress(OSError):  # whoever wants to write there will say what is in the way
            os.makedirs(directory, exist_ok=True)
    sandbox = Sandbox(needed.files, (*needed.journal, *needed.writable))
    readable = (*needed.readable, *needed.journal, *map(place_of, needed.files))
    try:
        known = landlock.confine(readable, (*needed.writable, os.devnull), connect=needed.connect)
    except OSError as error:  # the rights are gone all the same, and delivery matters more
        log.debug("not confined: %s", error)
        return Sandbox()
    log.debug("confined: landlock_version=%d", known)
    return sandbox if known else Sandbox()


def needs(config: "Config", *, delivers: bool, interpreter: Iterable[str], trusted: Iterable[str]) -> Needs:
    """List what the shipper opens: to deliver to a server, or to print the journal alone.

    `interpreter` are the directories of Python and its modules, `trusted` the places of the CA certificates.
    """
    path = os.path.abspath(config.journal.path)
    journal = tuple(sorted({os.path.dirname(path), os.path.dirname(os.path.realpath(path))}))
    readable = (*_SYSTEM, *interpreter)
    influxdb = config.influxdb
    if not delivers or influxdb is None:
        return Needs(readable, journal, (), ("/etc/localtime",), connect=False)
    own = (influxdb.token_file, influxdb.ca_file, influxdb.cert_file, influxdb.key_file)
    files = (*_SYSTEM_FILES, *(os.path.abspath(file) for file in own if file), *trusted)
    return Needs(readable, journal, (os.path.dirname(cursor_path(path)),), files, connect=True)


def place_of(file: str, resolve: Resolve = os.path.realpath) -> str:
    """Name what has to be open so that `file` can be read, now and after somebody has replaced it.

    Who replaces a file renames another to its name, one that was not named to the kernel; so it is the directory that
    is open. Only where that one is shared with others' secrets it is the file alone.
    """
    real, directory = resolve(file), resolve(os.path.dirname(file))
    if not real.startswith(f"{directory}/"):  # a symbolic link has led elsewhere
        directory = os.path.dirname(real)
    return real if directory in _SHARED or os.path.dirname(directory) == "/home" else directory


def _identity(place: str) -> Identity | None:
    """Tell a file or directory from another that takes its name; None while there is none."""
    try:
        status = os.stat(place)
    except OSError:
        return None
    return place, status.st_dev, status.st_ino


def _interpreter() -> set[str]:
    """Name the directories of Python, of its packages and of psstop."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    return prefixes | set(filter(None, sys.path)) | {os.path.dirname(os.path.dirname(__file__))}


def _trusted() -> list[str]:
    """Name the places where OpenSSL, and variables that steer it, have the system's CA certificates."""
    import ssl  # noqa: PLC0415 - 2 MiB that standard output does not need

    return [place for place in ssl.get_default_verify_paths() if place and place.startswith("/")]
