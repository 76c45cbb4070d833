"""The config file: what it means, what is refused, and in which words."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd import config
from psstopd.journal.schema import SAMPLE_FIELDS
from psstopd.settings import KEYS, TABLES, VARIABLES, Settings, load
from psstopd.settings_errors import SettingsError

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "config" / "psstop.toml"
SECRET = "s3cret-Tok3n=="
INFLUXDB = '[influxdb]\nurl = "http://localhost:8086"\nbucket = "psstop"\n'

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a config file."""

    def written(text: str | bytes) -> Path:
        path = tmp_path / "psstop.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """Make a credentials directory as systemd does."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "influxdb-token").write_text(SECRET)
    return directory


def problems(path: Path | None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Load what must be refused and give the problems."""
    with pytest.raises(SettingsError) as refused:
        load(path, environ or {})
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def outcome(path: Path, environ: Mapping[str, str]) -> config.Config | list[str]:
    """Give the Config, or the problems where it is refused; any other exception is a bug."""
    try:
        return load(path, environ)
    except SettingsError as error:
        return error.problems


def is_sound(outcome: config.Config | list[str]) -> bool:
    """Tell whether a Config survives JSON, or problems are one printable line each."""
    if isinstance(outcome, list):
        return bool(outcome) and all(problem.isprintable() for problem in outcome)
    return config.from_json(config.to_json(outcome)) == outcome


def watch(**given: str | None) -> config.Watch:
    """Build a rule from the keys that matter."""
    nothing: dict[str, Any] = dict.fromkeys(config.Watch._fields)
    return config.Watch(**nothing | given)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the module as the daemon does."""
    command = [sys.executable, "-m", "psstopd.settings", *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PSSTOP_")}
    return subprocess.run(command, env=inherited | environ, cwd=ROOT, capture_output=True, text=True, check=False)


def test_defaults_fill_what_is_left_out(write: Write) -> None:
    """One name is a complete config."""
    loaded = load(write('names = ["nginx"]'), {})

    assert loaded == config.Config(
        watch=(watch(name="nginx", program="nginx", group_by="rule"),),
        sampling=config.Sampling(interval=10, max_names=200, top_processes=0),
        overhead=config.Overhead(target_share=0.005, cpu_share=0.02),
        journal=config.JournalConfig("/var/lib/psstop/journal.db", 604_800, 15_552_000, 512 * 1024**2),
        influxdb=None,
        tags={},
    )


def test_influxdb_needs_only_url_and_bucket(write: Write) -> None:
    """A server without authentication takes two lines, and no token is no problem."""
    loaded = load(write(f'names = ["nginx"]\n{INFLUXDB}'), {})

    assert loaded.influxdb == config.InfluxDBConfig(
        url="http://localhost:8086",
        api="v2",
        org="-",
        bucket="psstop",
        token=None,
        token_file=None,
        batch_size=5000,
        flush_interval=10,
        timeout=10,
        fields=None,
        backfill_rate=10_000,
        ca_file=None,
    )


def test_names_come_before_rules_and_group_by_follows_name(write: Write) -> None:
    """Rules keep their order behind the short form; a named rule is one group, an unnamed one a group per program."""
    text = 'names = ["a"]\n[[watch]]\nname = "w"\ncomm = "w*"\n[[watch]]\nuser = "u"\n[[watch]]\ngroup_by = "unit"'
    loaded = load(write(text), {})

    assert loaded.watch == (
        watch(name="a", program="a", group_by="rule"),
        watch(name="w", comm="w*", group_by="rule"),
        watch(user="u", group_by="program"),
        watch(group_by="unit"),
    )


@pytest.mark.parametrize(
    ("written", "expected"), [('"90s"', 90), ('"5m"', 300), ('"1h"', 3600), ("7", 7), ('"2 m"', 120)]
)
def test_durations_become_seconds(write: Write, written: str, expected: int) -> None:
    """A duration is a number with a unit, or a plain number of seconds."""
    loaded = load(write(f'names = ["a"]\n[sampling]\ninterval = {written}'), {})

    assert loaded.sampling.interval == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"512MiB"', 2**29), ('"1GB"', 10**9), ("8388608", 2**23), ('"16384KiB"', 2**24), ('"1TiB"', 2**40)],
)
def test_sizes_become_bytes(write: Write, written: str, expected: int) -> None:
    """A size is a number with a binary or decimal unit, or a plain number of bytes."""
    loaded = load(write(f'names = ["a"]\n[journal]\nmax_size = {written}'), {})

    assert loaded.journal.max_size == expected


@given(number=st.integers(0, 10**6), unit=st.sampled_from("smhd"), space=st.sampled_from(["", " "]))
def test_duration_is_its_seconds_or_refused(
    tmp_path_factory: pytest.TempPathFactory, *, number: int, unit: str, space: str
) -> None:
    """Every duration counts as many seconds as it says, and those out of bounds are refused."""
    path = tmp_path_factory.getbasetemp() / "duration.toml"
    text = f"{number}{space}{unit}"
    path.write_text(f'names = ["a"]\n[sampling]\ninterval = "{text}"')
    expected = number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]

    if 1 <= expected <= 3600:
        assert load(path, {}).sampling.interval == expected
    else:
        assert problems(path) == [f'{path}: sampling.interval = "{text}": {INTERVAL}']


INTERVAL = 'must be a duration from 1s to 1h, such as "10s"'
WHOLE = "must be a whole number from"
SHARE = "must be a number above 0 and up to 1, such as"
ONE_NAME = 'names = ["a"]\n'
REFUSED = {
    # wrong values, each with what would be right
    f"{ONE_NAME}[sampling]\ninterval = 0": f"sampling.interval = 0: {INTERVAL}",
    f'{ONE_NAME}[sampling]\ninterval = "3601s"': f'sampling.interval = "3601s": {INTERVAL}',
    f'{ONE_NAME}[sampling]\ninterval = "10"': f'sampling.interval = "10": {INTERVAL}',
    f"{ONE_NAME}[sampling]\ninterval = 2024-01-01": f"sampling.interval = 2024-01-01: {INTERVAL}",
    f'{ONE_NAME}[sampling]\nmax_names = "10"': f'sampling.max_names = "10": {WHOLE} 1 to 5000',
    f"{ONE_NAME}[sampling]\nmax_names = true": f"sampling.max_names = true: {WHOLE} 1 to 5000",
    f"{ONE_NAME}[sampling]\nmax_names = 0x{'f' * 5000}": f"sampling.max_names = a huge number: {WHOLE} 1 to 5000",
    f"{ONE_NAME}[sampling]\ntop_processes = 101": f"sampling.top_processes = 101: {WHOLE} 0 to 100",
    f"{ONE_NAME}[overhead]\ntarget_share = 0": f"overhead.target_share = 0: {SHARE} 0.005",
    f"{ONE_NAME}[overhead]\ncpu_share = nan": f"overhead.cpu_share = nan: {SHARE} 0.02",
    f"{ONE_NAME}[overhead]\ncpu_share = 1.01": f"overhead.cpu_share = 1.01: {SHARE} 0.02",
    f"{ONE_NAME}[overhead]\ncpu_share = true": f"overhead.cpu_share = true: {SHARE} 0.02",
    f'{ONE_NAME}[journal]\npath = ""': 'journal.path = "": must not be empty; leave the key out instead',
    f'{ONE_NAME}[journal]\nmax_size = "7MiB"': (
        'journal.max_size = "7MiB": must be a size from 8MiB to 1024GiB, such as "512MiB"'
    ),
    f'{ONE_NAME}[journal]\nraw_for = "59m"': (
        'journal.raw_for = "59m": must be a duration from 1h to 36500d, such as "7d"'
    ),
    f'{ONE_NAME}[journal]\nraw_for = "8d"\nrollup_for = "7d"': (
        'journal.rollup_for = "7d": must be at least as long as raw_for; it is 180d unless set'
    ),
    f'{ONE_NAME}[journal]\nraw_for = "365d"': (
        "journal.rollup_for: must be at least as long as raw_for; it is 180d unless set"
    ),
    f"{ONE_NAME}sampling = 3": "sampling = 3: must be a table",
    f"{ONE_NAME}[watch]": "watch = a table: must be a list of rules, each below its own [[watch]]",
    'names = "nginx"': 'names = "nginx": must be a list of program names, such as ["nginx", "postgres"]',
    'names = [""]': 'names[0] = "": must not be empty; leave the key out instead',
    'names = ["a\\u001b[31m"]': r'names[0] = "a\u001b[31m": must not contain control characters or broken UTF-8',
    # rules
    '[[watch]]\nuser = "u\\n"': r'watch[0].user = "u\n": must not contain control characters or broken UTF-8',
    '[[watch]]\ncmdline = "a(b"': (
        'watch[0].cmdline = "a(b": must be a regular expression: missing ), unterminated subpattern at position 1'
    ),
    '[[watch]]\ncmdline = "a{99999999999}"': (
        'watch[0].cmdline = "a{99999999999}": must be a regular expression: the repetition number is too large'
    ),
    '[[watch]]\ngroup_by = "prog"': 'watch[0].group_by = "prog": must be "rule", "program", "unit" or "user"',
    '[[watch]]\ngroup_by = "rule"': (
        'watch[0].group_by = "rule": needs the name of the group; add name = "web", '
        'or group by "program", "unit" or "user"'
    ),
    "": (
        'names: nothing to watch; write names = ["nginx"], or a [[watch]] with group_by = "program" for every program'
    ),
    # rules against each other
    'names = ["a", "b", "a"]': 'names[2] = "a": names[0] is the same name; remove one of them',
    'names = ["a"]\n[[watch]]\nname = "a"\ncomm = "b"': (
        'watch[0].name = "a": names[0] is the same name; rename this rule or remove names[0]'
    ),
    '[[watch]]\nname = "a"\ncomm = "b"\n[[watch]]\nname = "a"\ncomm = "c"': (
        'watch[1].name = "a": watch[0].name is the same name; rename this rule or remove watch[0].name'
    ),
    '[[watch]]\nname = "a"\ncomm = "b"\n[[watch]]\nname = "c"\ncomm = "b"': (
        "watch[1]: can never match after watch[0]: "
        "it has the same conditions; remove one of them or change its conditions"
    ),
    'names = ["b"]\n[[watch]]\nname = "c"\ncomm = "b"': (
        "watch[0]: can never match after names[0]: "
        "it has the same conditions; remove one of them or change its conditions"
    ),
    '[[watch]]\n[[watch]]\nuser = "u"': (
        "watch[1]: can never match after watch[0]: "
        "it has no condition and takes every process; move watch[0] to the end"
    ),
    # unknown keys
    'name = ["a"]\nnames = ["a"]': "name: unknown key, did you mean watch.name?",
    f"{ONE_NAME}intervall = 3": "intervall: unknown key, did you mean sampling.interval?",
    f"{ONE_NAME}[sampling]\nmax_name = 3": "sampling.max_name: unknown key, did you mean max_names?",
    f"{ONE_NAME}[sampling]\nnames = []": (
        "sampling.names: unknown key, did you mean names? It belongs above the first [table]"
    ),
    '[[watch]]\ncom = "a"': "watch[0].com: unknown key, did you mean comm?",
    f'{ONE_NAME}[overhead]\n"x\\ny" = 3': r"overhead.x\ny: unknown key; known are target_share, cpu_share, max_age",
    # tags
    f'{ONE_NAME}[tags]\nname = "x"': 'tags.name = "x": psstop sets this itself; choose another key for the tag',
    f'{ONE_NAME}[tags]\n"a b" = "x"': (
        'tags.a b = "x": the key of a tag must be of letters, digits, _ and -, beginning with a letter or _'
    ),
    f'{ONE_NAME}[tags]\n"[key]" = "x"': (
        'tags.[key] = "x": the key of a tag must be of letters, digits, _ and -, beginning with a letter or _'
    ),
    f'{ONE_NAME}[tags]\ndc = ""': 'tags.dc = "": must not be empty; leave the key out instead',
    f'{ONE_NAME}[tags]\ndc = "a\\\\b"': r'tags.dc = "a\\b": must be at most 256 bytes, without a backslash',
    f'{ONE_NAME}[tags]\ndc = "{"é" * 129}"': (
        f'tags.dc = "{"é" * 59}...: must be at most 256 bytes, without a backslash'
    ),
    f"{ONE_NAME}[tags]\ndc = 3": 'tags.dc = 3: must be text, at most 20 of them, such as dc = "fra1"',
    f"{ONE_NAME}[tags]\n" + "\n".join(f'k{n} = "x"' for n in range(21)): (
        'tags = a table: must be text, at most 20 of them, such as dc = "fra1"'
    ),
    # influxdb
    f'{ONE_NAME}[influxdb]\nbucket = "b"': 'influxdb.url: is missing; give a URL, such as "https://influx.example:8086"',
    f'{ONE_NAME}{INFLUXDB}api = "v3"': 'influxdb.api = "v3": must be "v2", or "v1" for InfluxDB 1.x',
    f"{ONE_NAME}{INFLUXDB}batch_size = 50001": f"influxdb.batch_size = 50001: {WHOLE} 1 to 50000",
    f'{ONE_NAME}{INFLUXDB}timeout = "6m"': ('influxdb.timeout = "6m": must be a duration from 1s to 5m, such as "10s"'),
    f'{ONE_NAME}{INFLUXDB}flush_interval = "0s"': f'influxdb.flush_interval = "0s": {INTERVAL}',
    f"{ONE_NAME}{INFLUXDB}fields = []": (
        'influxdb.fields = a list: must be "all", or a list such as ["pss_bytes", "processes"]'
    ),
    f'{ONE_NAME}{INFLUXDB}fields = ["pss_byte"]': (
        'influxdb.fields[0] = "pss_byte": no such field, did you mean pss_bytes?'
    ),
    f'{ONE_NAME}{INFLUXDB}fields = ["x"]': (
        f'influxdb.fields[0] = "x": no such field; known are {", ".join(SAMPLE_FIELDS)}'
    ),
    f'{ONE_NAME}{INFLUXDB}ca_file = "/no/ca.pem"': (
        'influxdb.ca_file = "/no/ca.pem": no such file or directory; '
        "put the CA certificate there, or remove ca_file to use the system's"
    ),
    f'{ONE_NAME}{INFLUXDB}token_file = "/no/token"': (
        'influxdb.token_file = "/no/token": no such file or directory; '
        "write the token there, readable for the user who runs psstopd, or remove token_file"
    ),
    f'{ONE_NAME}[influxdb]\nurl = "http://h"\napi = "v1"\nbucket = "db/rp/x"': (
        'influxdb.bucket = "db/rp/x": must be database or database/retention-policy with api = "v1"'
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_mistake_is_refused_in_one_line(write: Write, text: str) -> None:
    """A mistake is told by its file, its key, the value found and what would be right."""
    path = write(text)

    assert problems(path) == [f"{path}: {REFUSED[text]}"]


@pytest.mark.parametrize(
    "text",
    [
        '[[watch]]\nname = "a"\nuser = "b"\ngroup_by = "unit"\n[[watch]]\nname = "a"\nuser = "c"\ngroup_by = "unit"',
        '[[watch]]\ncmdline = "[[a]"',
        'names = ["b"]\n[[watch]]\ncomm = "b*"',
    ],
)
def test_what_is_no_mistake_is_taken(write: Write, text: str) -> None:
    """Names that only group_by decides, odd expressions and overlapping rules are the operator's choice."""
    loaded = load(write(text), {})

    assert loaded.watch


def test_mistyped_condition_is_one_problem(write: Write) -> None:
    """A rule with a misspelt condition is not taken for one without conditions."""
    path = write('[[watch]]\ncom = "a"\n[[watch]]\nuser = "u"')

    assert problems(path) == [f"{path}: watch[0].com: unknown key, did you mean comm?"]


@pytest.mark.parametrize(
    "url",
    [
        "influx:8086",
        "ftp://influx",
        "http://",
        "http://influx:99999",
        "http://[::1",
        "http://influx/a b",
        "http://influx/\\n",
        f"https://user:{SECRET}@influx",
        f"https://influx/?token={SECRET}",
        f"https://influx/#{SECRET}",
    ],
)
def test_url_must_be_plain(write: Write, url: str) -> None:
    """What is no plain http or https URL is refused, and what it may carry is not repeated."""
    (problem,) = problems(write(f'{ONE_NAME}[influxdb]\nbucket = "b"\nurl = "{url}"'))

    assert "influxdb.url" in problem
    assert "must be http:// or https:// with a host" in problem
    assert SECRET not in problem


@pytest.mark.parametrize("bucket", ["telegraf", "telegraf/autogen"])
def test_v1_bucket_is_database_and_policy(write: Write, bucket: str) -> None:
    """InfluxDB 1.x has databases with an optional retention policy."""
    loaded = load(write(f'{ONE_NAME}[influxdb]\nurl = "http://h"\napi = "v1"\nbucket = "{bucket}"'), {})

    assert loaded.influxdb is not None
    assert loaded.influxdb.bucket == bucket


def test_fields_are_a_list_or_all(write: Write) -> None:
    """A list of fields is kept in its order."""
    loaded = load(write(f'{ONE_NAME}{INFLUXDB}fields = ["processes", "pss_bytes"]'), {})

    assert loaded.influxdb is not None
    assert loaded.influxdb.fields == ("processes", "pss_bytes")


def test_all_problems_are_told_at_once(write: Write) -> None:
    """Mistakes in the file, in variables and among rules don't hide one another."""
    path = write('names = ["a", "a"]\nintervall = 1\n[sampling]\ninterval = 0\n[overhead]\ncpu_share = 2')
    environ = {"PSSTOP_NAMESS": "[]", "PSSTOP_TAGS": "{", "PSSTOP_SAMPLING__MAX_NAMES": "x", "PSSTOP_JOURNAL__PTH": "x"}
    found = problems(path, environ)

    assert sorted(problem.split(" = ")[0].split(": unknown")[0].split(": must")[0] for problem in found) == sorted(
        [
            "PSSTOP_JOURNAL__PTH: journal.pth",
            "PSSTOP_NAMESS",
            "PSSTOP_SAMPLING__MAX_NAMES: sampling.max_names",
            "PSSTOP_TAGS",
            f"{path}: intervall",
            f"{path}: names[1]",
            f"{path}: overhead.cpu_share",
            f"{path}: sampling.interval",
        ]
    )


def test_bad_file_does_not_hide_bad_variables(tmp_path: Path) -> None:
    """A file that cannot be read and a mistyped variable are told together."""
    path = tmp_path / "absent.toml"

    assert problems(path, {"PSSTOP_NAMESS": "1"}) == [
        f"{path}: no such file; copy config/psstop.toml there or pass --config FILE",
        "PSSTOP_NAMESS: unknown variable, did you mean PSSTOP_NAMES?",
    ]


def test_default_path_is_used_without_one() -> None:
    """Without a path the system's file is meant, and its absence is an error too."""
    if Path("/etc/psstop/psstop.toml").exists():
        pytest.skip("this machine has a config of its own")

    (problem,) = problems(None)

    assert problem.startswith("/etc/psstop/psstop.toml: no such file; ")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a = [", "not valid TOML: Invalid value (at end of document)"),
        (b"a = 1\nb = \n", "not valid TOML: Invalid value (at line 2, column 5)"),
        (b"a = 1\nb = '\xff'", "not UTF-8 at line 2; save it as UTF-8"),
        (b"a = " + b"9" * 5000, "not valid TOML: Exceeds the limit (4300 digits) for integer string conversion"),
        (b"a = " + b"[" * 100_000, "maximum recursion depth exceeded"),
        (b"#" * (1 << 20) + b"\n", "larger than 1048576 bytes, so it is no config file"),
    ],
)
def test_file_that_is_no_toml_is_refused(write: Write, raw: bytes, expected: str) -> None:
    """Broken syntax and encoding are told with their line, and nothing makes a traceback."""
    path = write(raw)
    (problem,) = problems(path)

    assert problem.startswith(f"{path}: {expected}")


def test_deeply_nested_file_is_refused(write: Write) -> None:
    """A dotted key of any depth is one unknown key."""
    (problem,) = problems(write(ONE_NAME + ".".join("a" * 20_000) + " = 1"))

    assert "a: unknown key" in problem


def test_directory_is_refused(tmp_path: Path) -> None:
    """A directory is told as such."""
    cure = "make it a file that the user who runs psstopd can read, or pass --config FILE"

    assert problems(tmp_path) == [f"{tmp_path}: is a directory; {cure}"]


def test_problem_is_one_line_even_for_a_hostile_path(tmp_path: Path) -> None:
    """Newlines and escapes in the path of the file are shown, not obeyed."""
    path = tmp_path / "a\n\x1b[31m\udcff"

    (problem,) = problems(path)
    assert problem.startswith(rf"{tmp_path}/a\n\x1b[31m\udcff: no such file")


# A value for each variable, and what it becomes in the Config.
OVERRIDES: dict[str, tuple[str, object]] = {
    "PSSTOP_NAMES": ('["x"]', (watch(name="x", program="x", group_by="rule"),)),
    "PSSTOP_WATCH": ('[{"user": "u"}]', (watch(user="u", group_by="program"),)),
    "PSSTOP_SAMPLING": ('{"interval": "5s", "max_names": 4}', config.Sampling(5, 4, 0)),
    "PSSTOP_SAMPLING__INTERVAL": ("5m", 300),
    "PSSTOP_SAMPLING__MAX_NAMES": ("7", 7),
    "PSSTOP_SAMPLING__TOP_PROCESSES": ("3", 3),
    "PSSTOP_OVERHEAD": ('{"cpu_share": 0.5}', config.Overhead(0.005, 0.5)),
    "PSSTOP_OVERHEAD__TARGET_SHARE": ("0.5", 0.5),
    "PSSTOP_OVERHEAD__CPU_SHARE": ("1", 1.0),
    "PSSTOP_OVERHEAD__MAX_AGE": ("0", 0),
    "PSSTOP_JOURNAL": ('{"path": "/j"}', config.JournalConfig("/j", 604_800, 15_552_000, 2**29)),
    "PSSTOP_JOURNAL__PATH": ("/x", "/x"),
    "PSSTOP_JOURNAL__RAW_FOR": ("3600", 3600),
    "PSSTOP_JOURNAL__ROLLUP_FOR": ("8d", 691_200),
    "PSSTOP_JOURNAL__MAX_SIZE": ("1GiB", 2**30),
    "PSSTOP_INFLUXDB__URL": ("http://x", "http://x"),
    "PSSTOP_INFLUXDB__API": ("v1", "v1"),
    "PSSTOP_INFLUXDB__ORG": ("5", "5"),
    "PSSTOP_INFLUXDB__BUCKET": ("b", "b"),
    "PSSTOP_INFLUXDB__TOKEN": (SECRET, SECRET),
    "PSSTOP_INFLUXDB__TOKEN_FILE": (__file__, __file__),
    "PSSTOP_INFLUXDB__BATCH_SIZE": ("10", 10),
    "PSSTOP_INFLUXDB__BACKFILL_RATE": ("500", 500),
    "PSSTOP_INFLUXDB__FLUSH_INTERVAL": ("60", 60),
    "PSSTOP_INFLUXDB__TIMEOUT": ("1m", 60),
    "PSSTOP_INFLUXDB__FIELDS": ('["pss_bytes"]', ("pss_bytes",)),
    "PSSTOP_INFLUXDB__CA_FILE": (__file__, __file__),
    "PSSTOP_TAGS": ('{"dc": "x"}', {"dc": "x"}),
}


# A key and a certificate need each other: test_settings_files.py has them.
NEED_OTHERS = {"PSSTOP_INFLUXDB", "PSSTOP_INFLUXDB__CERT_FILE", "PSSTOP_INFLUXDB__KEY_FILE"}


@pytest.mark.parametrize("variable", sorted(set(VARIABLES) - NEED_OTHERS))
def test_variable_goes_before_the_file(write: Write, variable: str) -> None:
    """Every key of the file can be set by a variable."""
    text, expected = OVERRIDES[variable]
    base = f"{INFLUXDB}" if variable in {"PSSTOP_NAMES", "PSSTOP_WATCH"} else f"{ONE_NAME}{INFLUXDB}"
    found: object = load(write(base), {variable: text, "HOME": "/root"})
    for part in variable.removeprefix("PSSTOP_").lower().split("__"):
        found = getattr(found, "watch" if part == "names" else part)

    assert found == expected
    assert isinstance(found, type(expected))


def test_variable_can_hold_a_table(write: Write) -> None:
    """JSON sets several keys of a table, a longer variable one of them, and the file the rest."""
    environ = {"PSSTOP_INFLUXDB": '{"url": "http://a", "org": "o"}', "PSSTOP_INFLUXDB__URL": "http://b"}
    loaded = load(write(f"{ONE_NAME}{INFLUXDB}"), environ)

    assert loaded.influxdb is not None
    assert (loaded.influxdb.url, loaded.influxdb.org, loaded.influxdb.bucket) == ("http://b", "o", "psstop")


def test_variable_can_set_one_tag(write: Write) -> None:
    """The key of a tag is the variable's in lower case, next to those of the file."""
    loaded = load(write(f'{ONE_NAME}[tags]\ndc = "a"'), {"PSSTOP_TAGS__ROLE": "5"})

    assert loaded.tags == {"dc": "a", "role": "5"}


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("PSSTOP_NAMES", "nginx", "must be JSON, such as '[\"nginx\"]' for a list"),
        ("PSSTOP_NAMES", "[" * 100_000, "must be JSON"),
        ("PSSTOP_INFLUXDB", "null", "must be JSON"),
        ("PSSTOP_INFLUXDB", f'{{"token": "{SECRET}"', "influxdb: must be a table, or JSON in a variable"),
        ("PSSTOP_SAMPLING__MAX_NAMES", "true", f'sampling.max_names = "true": {WHOLE} 1 to 5000'),
        ("PSSTOP_SAMPLING__MAX_NAMES", "9" * 5000, "sampling.max_names = "),
        ("PSSTOP_OVERHEAD__CPU_SHARE", "inf", f"overhead.cpu_share = inf: {SHARE} 0.02"),
        (
            "PSSTOP_JOURNAL__PATH",
            "\udcff",
            r'journal.path = "\udcff": must not contain control characters or broken UTF-8',
        ),
        ("PSSTOP_JOURNAL_PATH", "/x", "unknown variable, did you mean PSSTOP_JOURNAL__PATH?"),
        ("PSSTOP_JOURNAL__PTH", "/x", "journal.pth: unknown key, did you mean path?"),
        ("PSSTOP_" + "__A" * 20_000, "x", "unknown variable"),
        ("PSSTOP_TAGS" + "__A" * 20_000, "x", "tags.a = a table: must be text"),
        ("PSSTOP_", "x", "unknown variable"),
    ],
)
def test_bad_variable_is_told_by_its_name(write: Write, variable: str, text: str, expected: str) -> None:
    """What is wrong with a variable names the variable, not the file."""
    (problem,) = problems(write(ONE_NAME), {variable: text})

    assert problem.startswith(f"{variable}: {expected}")
    assert SECRET not in problem


@pytest.mark.parametrize(
    "line",
    [
        f'token = "{SECRET}\\n"',
        f'token = ["{SECRET}"]',
        f'tokn = "{SECRET}"',
        f'token_file = "{SECRET}"',
        f'token_file = ["{SECRET}"]',
        f'key_file = "{SECRET}"',
        f'cert_file = "{SECRET}"',
        f'influxdb = "{SECRET}"',
        f'[[influxdb]]\ntoken = "{SECRET}"',
        f'[influxdb.token]\nx = "{SECRET}"',
        f'[journal]\ntoken = "{SECRET}"',
    ],
)
def test_secret_is_never_in_a_problem(write: Write, line: str) -> None:
    """A token in a wrong place, form or file is refused without being repeated."""
    table = "" if line.startswith(("[[", "influxdb")) else f"{INFLUXDB}org = 3\n"
    with pytest.raises(SettingsError) as refused:
        load(write(f"{ONE_NAME}{table}{line}"), {})
    error = refused.value

    assert SECRET not in f"{error} {error!r} {error.problems} {error.__cause__!r} {error.__context__!r}"


def test_secret_is_in_no_repr(write: Write) -> None:
    """A loaded token is handed on, and shows in no repr."""
    loaded = load(write(f'{ONE_NAME}{INFLUXDB}token = "{SECRET}"'), {})

    assert loaded.influxdb is not None
    assert loaded.influxdb.token == SECRET
    assert SECRET not in repr(loaded)


def test_credential_is_the_token_file(write: Write, credentials: Path) -> None:
    """Without a token_file, the credential that systemd passes is used."""
    loaded = load(write(f"{ONE_NAME}{INFLUXDB}"), {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert loaded.influxdb is not None
    assert loaded.influxdb.token_file == str(credentials / "influxdb-token")


def test_credential_stands_in_for_a_missing_token_file(write: Write, credentials: Path) -> None:
    """A token_file that is not there is no problem where systemd passes the credential."""
    path = write(f'{ONE_NAME}{INFLUXDB}token_file = "/no/token"')
    loaded = load(path, {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert loaded.influxdb is not None
    assert loaded.influxdb.token_file == str(credentials / "influxdb-token")


def test_readable_token_file_goes_before_the_credential(write: Write, credentials: Path) -> None:
    """The config has the last word where its file can be read."""
    path = write(f'{ONE_NAME}{INFLUXDB}token_file = "{__file__}"')
    loaded = load(path, {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert loaded.influxdb is not None
    assert loaded.influxdb.token_file == __file__


def test_token_goes_before_token_file(write: Write) -> None:
    """A token given directly is the one that counts, so that a variable replaces a file that isn't there."""
    path = write(f'{ONE_NAME}{INFLUXDB}token_file = "/no/token"')
    loaded = load(path, {"PSSTOP_INFLUXDB__TOKEN": SECRET})

    assert loaded.influxdb is not None
    assert (loaded.influxdb.token, loaded.influxdb.token_file) == (SECRET, None)


@pytest.mark.parametrize(("name", "expected"), [("empty", "the file is empty"), (".", "is not a regular file")])
def test_token_file_must_hold_a_token(write: Write, tmp_path: Path, name: str, expected: str) -> None:
    """An empty file, or none that can be read like one, is a problem."""
    (tmp_path / "empty").write_text("\n")
    (problem,) = problems(write(f'{ONE_NAME}{INFLUXDB}token_file = "{tmp_path}/{name}"'))

    assert f"{expected}; write the token there" in problem


def test_shipped_config_watches_every_program() -> None:
    """The sample as it is installed samples every program and connects nowhere."""
    loaded = load(SAMPLE, {})

    assert loaded.watch == (watch(group_by="program"),)
    assert loaded.sampling == config.Sampling(interval=10, max_names=30, top_processes=0)
    assert loaded.influxdb is None


def uncommented() -> str:
    """Give the sample with every setting that is commented out put to use."""
    return re.sub(r"(?m)^#(?=[a-z_\[])", "", SAMPLE.read_text())


def test_sample_documents_every_key() -> None:
    """Every key of the models occurs in the sample, and nothing else does."""
    given: dict[str, Any] = tomllib.loads(uncommented())
    tables = {table: [given[table]] if isinstance(given[table], dict) else given[table] for table in TABLES}
    documented = {f"{table}.{key}" for table, rules in tables.items() for rule in rules for key in rule}

    assert set(given) | documented == set(KEYS)


def test_sample_is_valid_with_everything_on(write: Write, credentials: Path) -> None:
    """Each commented setting is a valid one."""
    loaded = load(write(uncommented()), {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert loaded.influxdb is not None
    assert len(loaded.watch) == 4


def test_sample_shows_the_defaults(write: Write) -> None:
    """The settings that are commented out in the sample, outside the examples, are the defaults."""
    shown = tomllib.loads(uncommented())
    tables = {name: shown[name] for name in ("sampling", "overhead", "journal")}
    tables["sampling"] |= {"max_names": 200}
    lines = [
        f"[{name}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in table.items()) for name, table in tables.items()
    ]
    loaded = load(write(ONE_NAME + "\n".join(lines)), {})

    assert loaded == load(write(ONE_NAME), {})


@pytest.mark.parametrize("table", [*TABLES, ""])
def test_models_and_config_agree(table: str) -> None:
    """Config has a field for each key of the models, and none that cannot be set."""
    classes = {"watch": config.Watch, "influxdb": config.InfluxDBConfig, "": config.Config}
    plain: Any = classes.get(table) or get_type_hints(config.Config)[table]
    model = TABLES[table] if table else Settings

    assert set(plain._fields) - {"program"} == set(model.model_fields) - {"names"}


def test_config_survives_json(write: Write, credentials: Path) -> None:
    """What the settings child writes, the daemon reads back the same."""
    path = write(uncommented().replace('fields = "all"', 'fields = ["pss_bytes"]'))
    loaded = load(path, {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert config.from_json(config.to_json(loaded)) == loaded


def toml(value: object) -> str:
    """Write junk as TOML; JSON's strings, numbers and lists are TOML's too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(nested)}" for key, nested in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str | bool):
        return json.dumps(value).replace("\x7f", r"\u007f")
    return str(value)


KNOWN = sorted({part for key in KEYS for part in key.split(".")})
WORDS = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=8)
SCALARS = st.one_of(
    WORDS,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.sampled_from(["all", "10s", "1GB", "v1", "http://h"]),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN) | WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(junk=st.dictionaries(st.sampled_from(KNOWN) | WORDS, JUNK, max_size=6))
def test_junk_is_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, junk: dict[str, Any]) -> None:
    """Whatever TOML the file holds, the answer is a Config or printable one-line problems."""
    path = tmp_path_factory.getbasetemp() / "junk.toml"
    path.write_text("\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in junk.items()))
    assert isinstance(tomllib.loads(path.read_text()), dict)

    assert is_sound(outcome(path, {}))


@given(raw=st.binary(max_size=40), variable=st.sampled_from(VARIABLES), text=JUNK.map(str) | JUNK.map(toml) | WORDS)
def test_junk_in_variables_is_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, *, raw: bytes, variable: str, text: str
) -> None:
    """Whatever bytes the file and whatever text a variable holds, nothing but SettingsError is raised."""
    path = tmp_path_factory.getbasetemp() / "junk.toml"
    for content in (raw, b'names = ["a"]'):
        path.write_bytes(content)

        assert is_sound(outcome(path, {variable: text}))


def test_module_writes_the_config_as_json(write: Write) -> None:
    """The settings child answers with JSON on standard output and exit code 0."""
    path = write(ONE_NAME)
    done = run("--config", str(path), PSSTOP_SAMPLING__INTERVAL="5s")

    assert (done.returncode, done.stderr) == (0, "")
    assert config.from_json(done.stdout) == load(path, {"PSSTOP_SAMPLING__INTERVAL": "5s"})


def test_module_writes_problems_and_exits_78(write: Write) -> None:
    """A config that is refused is told on standard error alone, a line each, with the exit code EX_CONFIG."""
    path = write(f"{ONE_NAME}[sampling]\ninterval = 0\nmax_names = 0")
    done = run("--config", str(path))

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == problems(path)
    assert len(done.stderr.splitlines()) == 2


def test_module_survives_a_locale_without_unicode(write: Write) -> None:
    """A problem with characters that the terminal cannot show is still told."""
    done = run("--config", str(write('names = ["é\\n"]')), LC_ALL="C", PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")

    assert done.returncode == 78
    assert "control characters" in done.stderr
    assert "Traceback" not in done.stderr
