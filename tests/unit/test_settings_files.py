"""The client certificate in the config: what is taken, what is refused, in which words, and what is never said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from psstopd.config import InfluxDBConfig, to_json
from psstopd.settings import load
from psstopd.settings_errors import SettingsError
from tests.certificates import Authority, Certificate, encrypted

Load = Callable[..., InfluxDBConfig]

PASSPHRASE = "sesame-open"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Make a CA."""
    return Authority(tmp_path)


@pytest.fixture
def client(authority: Authority) -> Certificate:
    """Make a client certificate."""
    return authority.issue("client")


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Give a function that loads a config with these keys in [influxdb]."""

    def load_with(environ: dict[str, str] | None = None, **keys: object) -> InfluxDBConfig:
        lines = [f'{key} = "{value}"' for key, value in keys.items()]
        table = ["names = ['a']", "[influxdb]", "url = 'https://h'", "bucket = 'b'", *lines]
        (tmp_path / "psstop.toml").write_text("\n".join(table))
        influxdb = load(tmp_path / "psstop.toml", environ or {}).influxdb
        assert influxdb is not None
        return influxdb

    return load_with


def test_who_does_not_ship_reads_nothing_of_the_shippers(tmp_path: Path) -> None:
    """Files that are not there are not missed, nor credentials used, and a token goes no further than the file."""
    file = tmp_path / "psstop.toml"
    keys = "".join(f'{key} = "/not/there"\n' for key in ("token_file", "ca_file", "cert_file", "key_file"))
    file.write_text(f"names = ['a']\n[influxdb]\nurl = 'https://h'\nbucket = 'b'\ntoken = 's3cret'\n{keys}")
    (tmp_path / "influxdb-token").write_text("s3cret")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PSSTOP_INFLUXDB__TOKEN": "s3cret"}

    config = load(file, environ, ships=False)

    assert config.influxdb is not None
    assert "s3cret" not in to_json(config)
    assert {config.influxdb.token_file, config.influxdb.ca_file, config.influxdb.cert_file} == {None}


def both(certificate: Certificate) -> Path:
    """Write certificate and key into one file."""
    path = certificate.certificate.with_suffix(".both")
    path.write_bytes(certificate.certificate.read_bytes() + certificate.key.read_bytes())
    return path


def refused(loaded: Load, **keys: object) -> str:
    """Load what must be refused and give the one problem, which quotes nothing of a key."""
    with pytest.raises(SettingsError) as refused:
        loaded(**keys)
    (problem,) = refused.value.problems
    assert "PRIVATE" not in problem
    return problem


def test_certificate_and_key_are_two_files_or_one(loaded: Load, client: Certificate) -> None:
    """A pair is taken, and a file with both in it."""
    pair = loaded(cert_file=client.certificate, key_file=client.key)
    one = loaded(cert_file=both(client))

    assert (pair.cert_file, pair.key_file) == (str(client.certificate), str(client.key))
    assert (one.cert_file, one.key_file) == (str(both(client)), None)


def test_variables_go_before_the_file(loaded: Load, client: Certificate) -> None:
    """The pair can come from the environment."""
    variables = {"CERT_FILE": client.certificate, "KEY_FILE": client.key}
    environ = {f"PSSTOP_INFLUXDB__{name}": str(path) for name, path in variables.items()}
    influxdb = loaded(environ, cert_file="/no/cert")

    assert (influxdb.cert_file, influxdb.key_file) == (str(client.certificate), str(client.key))


def test_no_certificate_is_none(loaded: Load) -> None:
    """Empty text is as good as no key."""
    influxdb = loaded(cert_file="", key_file="")

    assert (influxdb.cert_file, influxdb.key_file) == (None, None)


def test_a_missing_certificate_is_refused(loaded: Load, client: Certificate) -> None:
    """A file that is not there is one problem, not two, and says what belongs there."""
    problem = refused(loaded, cert_file="/no/cert", key_file=client.key)

    assert 'influxdb.cert_file = "/no/cert": no such file or directory; put the client certificate there' in problem


def test_a_missing_key_is_refused(loaded: Load, client: Certificate) -> None:
    """Likewise for the key."""
    problem = refused(loaded, cert_file=client.certificate, key_file="/no/key")

    assert 'influxdb.key_file = "/no/key": no such file or directory; put the key' in problem


def test_a_certificate_without_a_key_is_refused(loaded: Load, client: Certificate) -> None:
    """Without key_file the certificate's own file has to hold the key."""
    problem = refused(loaded, cert_file=client.certificate)

    assert f"influxdb.key_file: {client.certificate}: holds no private key; name the file that does" in problem


def test_a_key_without_a_certificate_is_refused(loaded: Load, client: Certificate) -> None:
    """A key alone proves nothing."""
    problem = refused(loaded, key_file=client.key)

    assert "needs cert_file; name the certificate" in problem


def test_the_key_of_another_certificate_is_refused(loaded: Load, client: Certificate, authority: Authority) -> None:
    """Certificate and key have to belong together."""
    other = authority.issue("other")
    problem = refused(loaded, cert_file=client.certificate, key_file=other.key)

    assert f"is not the key of the certificate in {client.certificate}; put the key there" in problem


@pytest.mark.parametrize("in_one_file", [False, True])
def test_an_encrypted_key_is_refused(loaded: Load, client: Certificate, *, in_one_file: bool) -> None:
    """Nothing asks the terminal for a passphrase that a daemon could not be told."""
    locked = encrypted(client, passphrase=PASSPHRASE)
    one = {"cert_file": both(locked)}
    two = {"cert_file": locked.certificate, "key_file": locked.key}
    problem = refused(loaded, **(one if in_one_file else two))

    assert "the private key is encrypted, and nobody is there to type its passphrase; store it without" in problem


@pytest.mark.parametrize(
    ("certificate", "words"),
    [("nothing of that kind", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\ngarbled\n", "put certificate")],
)
def test_what_is_no_certificate_is_refused(
    loaded: Load, client: Certificate, tmp_path: Path, certificate: str, words: str
) -> None:
    """A file of something else, or a damaged one, is told by its name."""
    (tmp_path / "bad.pem").write_text(certificate)
    problem = refused(loaded, cert_file=tmp_path / "bad.pem", key_file=client.key)

    assert words in problem
    assert f"{tmp_path}/bad.pem" in problem


def test_a_garbled_key_is_refused_without_a_word_of_it(loaded: Load, client: Certificate) -> None:
    """What is left of a damaged key stays where it is."""
    head, body, *rest = client.key.read_text().splitlines()
    client.key.write_text("\n".join([head, body[:-8], *rest]))
    with pytest.raises(SettingsError) as refused:
        loaded(cert_file=client.certificate, key_file=client.key)
    error = refused.value

    assert body[:20] not in f"{error} {error!r} {error.problems} {error.__cause__!r} {error.__context__!r}"


@pytest.mark.parametrize("key", ["cert_file", "key_file"])
def test_a_key_in_place_of_its_path_is_not_repeated(loaded: Load, key: str) -> None:
    """Who pastes the key itself into the config finds it in no message."""
    problem = refused(loaded, **{key: "MHcCAQEEIB"})

    assert f"influxdb.{key}: must be the absolute path of a file" in problem
    assert "MHcCAQEEIB" not in problem


def test_credentials_stand_in_for_what_is_not_named_or_not_readable(
    loaded: Load, client: Certificate, tmp_path: Path
) -> None:
    """Certificate and key come from systemd where the config names none, or none that the service may read."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "influxdb-cert").write_bytes(client.certificate.read_bytes())
    (directory / "influxdb-key").write_bytes(client.key.read_bytes())
    environ = {"CREDENTIALS_DIRECTORY": str(directory)}
    passed = (str(directory / "influxdb-cert"), str(directory / "influxdb-key"))
    influxdb = [loaded(environ), loaded(environ, cert_file="/no/cert", key_file="/no/key")]

    assert [(each.cert_file, each.key_file) for each in influxdb] == [passed, passed]


def test_blank_credentials_are_none(loaded: Load, tmp_path: Path) -> None:
    """The unit sets blank ones, so that it starts without these files."""
    for name in ("influxdb-cert", "influxdb-key"):
        (tmp_path / name).write_text("\n")
    influxdb = loaded({"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert (influxdb.cert_file, influxdb.key_file) == (None, None)
