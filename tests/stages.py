"""The servers of the failure matrix on loopback: each stage runs one that fails in its own way, and can mend it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import certificates
from tests.certificates import Certificate
from tests.database import Database, database
from tests.faultserver import Reply
from tests.matrix import Key, Scene, Stage, configured, key
from tests.servers import free_port


def scene_of(server: Database) -> Scene:
    """Make the scene of a server that may have to be mended."""
    return Scene(configured(server.url), lambda: arrived(server), server.mend)


def arrived(server: Database) -> set[Key]:
    """Give what a server has accepted."""
    return {key(line) for line in server.accepted}


def answering(reply: Reply) -> Stage:
    """Answer everything in one way."""

    @contextmanager
    def stage(_: Path) -> Iterator[Scene]:
        with database(default=reply) as server:
            yield scene_of(server)

    return stage


def refusing(poison: str, answer: Reply, *, writes_the_rest: bool = False) -> Stage:
    """Refuse a request with a poisoned line in it, with or without the others of its lines."""

    @contextmanager
    def stage(_: Path) -> Iterator[Scene]:
        with database() as server:
            server.poison, server.bad_line, server.writes_the_rest = poison, answer, writes_the_rest
            yield scene_of(server)

    return stage


def bounded(most_lines: int, answer: Reply) -> Stage:
    """Take no more than some lines at once, and never be mended."""

    @contextmanager
    def stage(_: Path) -> Iterator[Scene]:
        with database() as server:
            server.most_lines, server.too_large = most_lines, answer
            yield scene_of(server)._replace(mend=lambda: None)

    return stage


def misconfigured(**changes: Any) -> Stage:
    """Run a good server that the configuration misses in some way, until the operator corrects it."""

    @contextmanager
    def stage(_: Path) -> Iterator[Scene]:
        with database() as server:
            config = configured(server.url)
            yield scene_of(server)._replace(config=config._replace(**changes), mended=config)

    return stage


@contextmanager
def nobody_listening(_: Path) -> Iterator[Scene]:
    """Let the configuration name a port that refuses connections."""
    with misconfigured(url=f"http://127.0.0.1:{free_port()}")(_) as scene:
        yield scene


@contextmanager
def no_way_in(_: Path) -> Iterator[Scene]:
    """Let the configuration name a port whose queue of connections is full, so that packets to it are dropped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            port = listener.getsockname()[1]
            with misconfigured(url=f"http://127.0.0.1:{port}")(_) as scene:
                yield scene


@contextmanager
def without_token(directory: Path) -> Iterator[Scene]:
    """Let the token's file be away until the operator writes it."""
    file = directory / "token"
    with misconfigured(token=None, token_file=str(file))(directory) as scene:
        yield scene._replace(mend=lambda: file.write_text("sesame"), mended=None)


@contextmanager
def tls_without_tls(_: Path) -> Iterator[Scene]:
    """Let the configuration say https:// to a server that speaks plain HTTP."""
    with database() as server:
        config = configured(server.url.replace("http:", "https:"))
        yield scene_of(server)._replace(config=config, mended=configured(server.url))


@contextmanager
def http_to_tls(directory: Path) -> Iterator[Scene]:
    """Let the configuration say http:// to a server that speaks TLS."""
    made = certificates.self_signed(directory)
    with database(certificate=made) as server:
        config = configured(server.url.replace("https:", "http:"))
        mended = configured(server.url, ca_file=str(made.certificate))
        yield scene_of(server)._replace(config=config, mended=mended)


Make = Callable[[Path], tuple[Certificate, Path | None]]  # a certificate, and what ca_file is set to


def presenting(make: Make) -> Stage:
    """Present a bad certificate, until the operator gives the server one that its CA vouches for."""

    @contextmanager
    def stage(directory: Path) -> Iterator[Scene]:
        bad, ca_file = make(directory)
        authority = certificates.Authority(directory, name="mending-authority")
        with database(certificate=bad) as server, database(certificate=authority.issue("good")) as good:
            config = configured(server.url, ca_file=None if ca_file is None else str(ca_file))
            mended = configured(good.url, ca_file=str(authority.certificate))
            yield Scene(config, lambda: arrived(server) | arrived(good), mended=mended)

    return stage


def self_signed(directory: Path) -> tuple[Certificate, None]:
    """Make a certificate that nobody vouches for."""
    return certificates.self_signed(directory), None


def other_name(directory: Path) -> tuple[Certificate, Path]:
    """Make a good certificate of another host."""
    authority = certificates.Authority(directory)
    return authority.issue("other", names="DNS:influx.example"), authority.certificate


def other_authority(directory: Path) -> tuple[Certificate, Path]:
    """Make a good certificate, but let ca_file name another CA."""
    authorities = [certificates.Authority(directory, name=name) for name in ("one", "another")]
    return authorities[0].issue("good-by-one"), authorities[1].certificate
