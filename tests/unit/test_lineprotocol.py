"""Line protocol: exactly the contract's points, and nothing in a name or tag that could forge another."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from psstopd.delivery.lineprotocol import MAX_CACHED_PREFIXES, Encoder, escape_tag, printable
from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, SAMPLE_FIELDS

TIME = 1795294290
SAMPLE = (412876800, 0, 400000000, 500000000, 300000000, 112876800, 0, 90000000, 9, 0, 12, 0, 870)
PROCESS = (90000000, 0, 80000000, 95000000, 70000000, 20000000, 0, 1234, 567890)
HEALTH = (300, 8100, 0, 4, 10, 0, 0, 0, 11000000, 52000)

LARGEST = 2**63 - 1
names = st.text(st.characters() | st.sampled_from(",= \\\"'\n\r\t\0x#uU\udcff\u202e\U0001f600"), max_size=80)
tag_sets = st.dictionaries(names.map(lambda name: f"k{name}"), names, max_size=4)
numbers = st.integers(-LARGEST - 1, LARGEST)


def stored(
    *samples: tuple[str, tuple[int | None, ...]], processes: list[tuple[str, int, tuple[int | None, ...]]] | None = None
) -> StoredTick:
    """Build a tick of the journal with some health."""
    return StoredTick(1, TIME, HEALTH, list(samples), processes or [])


def parsed(line: str) -> tuple[str, dict[str, str], dict[str, int], int]:
    """Read a line as InfluxDB does: measurement, tags, fields and time."""
    point: dict[str, Any] = parse_line(line)
    return point["measurement"], point["tags"], point["fields"], point["time"]


def measured(fields: tuple[str, ...], values: tuple[int | None, ...]) -> dict[str, int]:
    """Name the values that are not None."""
    return {field: value for field, value in zip(fields, values, strict=True) if value is not None}


def test_a_name_becomes_the_point_of_the_contract() -> None:
    """A name's point holds the tags host and name, all of its fields as integers, and the tick's time in seconds."""
    line = Encoder("web1", {}).lines(stored(("nginx", SAMPLE)))[0]

    assert line == (
        "psstop,host=web1,name=nginx pss_bytes=412876800i,swap_pss_bytes=0i,uss_bytes=400000000i,rss_bytes=500000000i,"
        "pss_anon_bytes=300000000i,pss_file_bytes=112876800i,pss_shmem_bytes=0i,pss_max_bytes=90000000i,processes=9i,"
        "unreadable=0i,starts_total=12i,age_ms=0i,read_us=870i 1795294290"
    )


def test_a_process_is_told_by_its_slot() -> None:
    """A recorded process has its slot for a tag and its pid and start time for fields."""
    line = Encoder("web1", {}).lines(stored(processes=[("nginx", 3, PROCESS)]))[0]

    assert line == (
        "psstop_process,host=web1,name=nginx,slot=3 pss_bytes=90000000i,swap_pss_bytes=0i,uss_bytes=80000000i,"
        "rss_bytes=95000000i,pss_anon_bytes=70000000i,pss_file_bytes=20000000i,pss_shmem_bytes=0i,pid=1234i,"
        "start_time=567890i 1795294290"
    )


def test_processes_of_one_name_keep_apart() -> None:
    """Two recorded processes of one name, and the name itself, are three series."""
    encoder = Encoder("h", {})

    lines = encoder.lines(stored(("n", SAMPLE), processes=[("n", 0, PROCESS), ("n", 1, PROCESS)]))

    assert [parsed(line)[1].get("slot") for line in lines] == [None, "0", "1", None]


def test_the_daemon_reports_itself_last() -> None:
    """Every tick ends with the daemon's own point: that it is up, how many names it had, and its health."""
    line = Encoder("web1", {}).lines(stored(("a", SAMPLE), ("b", SAMPLE)))[-1]

    assert line == (
        "psstopd,host=web1 up=1i,names=2i,processes=300i,tick_us=8100i,late_ticks_total=0i,pending_points=4i,"
        "pending_age_s=10i,dropped_total=0i,quarantined_total=0i,send_errors_total=0i,self_pss_bytes=11000000i,"
        "self_cpu_us_total=52000i 1795294290"
    )


def test_configured_tags_are_on_every_point_in_order() -> None:
    """The config's tags stand on every point, all tags sorted by key, and a configured host replaces the machine's."""
    encoder = Encoder("web1", {"zone": "b", "dc": "fra1", "host": "front", "empty": ""})

    lines = encoder.lines(stored(("nginx", SAMPLE), processes=[("nginx", 0, PROCESS)]))

    assert [line.split(" ")[0] for line in lines] == [
        "psstop,dc=fra1,host=front,name=nginx,zone=b",
        "psstop_process,dc=fra1,host=front,name=nginx,slot=0,zone=b",
        "psstopd,dc=fra1,host=front,zone=b",
    ]


def test_what_was_not_measured_is_left_out() -> None:
    """A value of None has no field: it is neither zero nor empty."""
    values = (None,) * 8 + (2, 2, 5, 0, 0)

    _, _, fields, _ = parsed(Encoder("h", {}).lines(stored(("n", values)))[0])

    assert fields == {"processes": 2, "unreadable": 2, "starts_total": 5, "age_ms": 0, "read_us": 0}


def test_the_filter_leaves_identity_and_health_alone() -> None:
    """`fields` thins out the points of names and processes, but not a process's identity nor the daemon's health."""
    encoder = Encoder("h", {}, fields=("pss_bytes", "unreadable"))

    sample, process, health = encoder.lines(stored(("n", SAMPLE), processes=[("n", 0, PROCESS)]))

    assert parsed(sample)[2] == {"pss_bytes": 412876800, "unreadable": 0}
    assert parsed(process)[2] == {"pss_bytes": 90000000, "pid": 1234, "start_time": 567890}
    assert set(parsed(health)[2]) == {"up", "names", *HEALTH_FIELDS}


def test_a_point_is_never_without_fields() -> None:
    """Where the filter would leave nothing, `processes` still says that the name was looked at."""
    encoder = Encoder("h", {}, fields=("pss_bytes",))

    _, _, fields, _ = parsed(encoder.lines(stored(("n", (None, *SAMPLE[1:]))))[0])

    assert fields == {"processes": 9}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a,b=c d", r"a\,b\=c\ d"),
        ('"quoted"', '"quoted"'),
        ("ünï", "ünï"),
        (r"bad\xff\u202e", r"bad\xff\u202e"),
        ("trailing\\", r"trailing\x5c"),
        (r"two\\", r"two\x5c\x5c"),
        ("before\\,comma", r"before\x5c\,comma"),
        ("\\\n", r"\x5c\x0a"),
        ("line\nbreak\r", r"line\x0abreak\x0d"),
        ("\x1b[31m\u202e\U000e0001\udcff", r"\x1b[31m\u202e\U000e0001\udcff"),
        ("", r"\x00"),
    ],
)
def test_what_is_special_is_escaped(text: str, escaped: str) -> None:
    """Commas, equals signs and spaces get a backslash; what servers disagree about is written as its code."""
    assert escape_tag(text) == escaped


@given(names)
@example("\\")
def test_escaping_leaves_nothing_to_forge_with(text: str) -> None:
    """Any text becomes one printable, encodable, non-empty word, without an unescaped separator or a last backslash."""
    escaped = escape_tag(text)
    bare = escaped.replace(r"\,", "").replace(r"\=", "").replace(r"\ ", "")

    assert escaped.encode().decode() == escaped
    assert escaped.isprintable()
    assert escaped
    assert not set(bare) & set(",= ")
    assert not escaped.endswith("\\")
    assert "\\\\" not in escaped


@given(names, names, tag_sets, st.tuples(*[numbers | st.none()] * 8, *[numbers] * 5))
def test_a_parser_gets_back_what_was_put_in(
    host: str, name: str, tags: dict[str, str], values: tuple[int | None, ...]
) -> None:
    """Whatever the names and tags, InfluxDB's grammar gives back measurement, tags, integers and time."""
    line = Encoder(host, tags).lines(stored((name, values)))[0]

    expected = {visible(key): visible(value) for key, value in tags.items() if value}
    expected |= {"host": visible(host), "name": visible(name)}
    assert parsed(line) == ("psstop", expected, measured(SAMPLE_FIELDS, values), TIME)


@given(names, st.integers(0, 1000), st.tuples(*[numbers | st.none()] * 7, numbers, numbers))
def test_a_parser_gets_back_a_process(name: str, slot: int, values: tuple[int | None, ...]) -> None:
    """Whatever the name, the point of a process comes back with its slot and its integers."""
    line = Encoder("h", {}).lines(stored(processes=[(name, slot, values)]))[0]

    expected = {"host": "h", "name": visible(name), "slot": str(slot)}
    assert parsed(line) == ("psstop_process", expected, measured(PROCESS_FIELDS, values), TIME)


def test_names_without_end_do_not_fill_the_memory() -> None:
    """The cache of prefixes is bounded, and names past the bound are encoded all the same."""
    encoder = Encoder("h", {})
    many = [(f"name{number}", SAMPLE) for number in range(MAX_CACHED_PREFIXES + 10)]

    lines = encoder.lines(stored(*many))

    assert len(encoder._prefixes) <= MAX_CACHED_PREFIXES  # noqa: SLF001 - the bound cannot be seen from outside
    assert lines[0].startswith("psstop,host=h,name=name0 ")
    assert lines[-2].startswith(f"psstop,host=h,name=name{MAX_CACHED_PREFIXES + 9} ")


def visible(text: str) -> str:
    """Say in words of this test what a server should see: ambiguous backslashes and unprintable characters as codes."""
    shown = ""
    for position, character in enumerate(text):
        following = text[position + 1 : position + 2]
        literal = following.isascii() and following.isalnum()
        shown += r"\x5c" if character == "\\" and not literal else printable(character)
    return shown or r"\x00"
