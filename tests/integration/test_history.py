"""`psstop history` beside a running daemon: plots that fit, CSV, JSON, and a journal of hostile hands."""

import csv
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psstopd.client.history.course import COLUMNS
from psstopd.journal.files import connect
from psstopd.journal.schema import SAMPLE_FIELDS
from psstopd.journal.writer import Journal
from tests.daemon import Daemon, clean_environ, daemon, psstop
from tests.programs import named_programs
from tests.samples import BOOT, journal_config, sample, tick
from tests.terminal import terminal
from tests.waiting import wait_for

NAME = b"history-prog"
HISTORY = (sys.executable, "-m", "psstopd.cli.client", "history")
BRAILLE = re.compile("[\u2801-\u28ff]")
HOSTILE = "\x1b[31mred\x07\r\n\u202egpj\u2066"
DAYS, FIVE_MINUTES = 86400, 300


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon that samples one program every second."""
    with daemon(tmp_path_factory.mktemp("running")) as found, named_programs(NAME) as rules:
        found.configure(names=[], watch=rules)
        found.start()
        found.await_ticks(4)
        yield found


@pytest.fixture(scope="module")
def long_ago(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a journal of two days with a restart and a gap, of which retention has left an hour of ticks."""
    path = str(tmp_path_factory.mktemp("long") / "journal.db")
    begin = int(time.time()) // 60 * 60 - 2 * DAYS + 60
    with closing(Journal(journal_config(path, raw_for=3600), boot_id=BOOT)) as journal:
        for minute in range(2 * DAYS // 60):
            if not 600 <= minute < 700:
                samples = (
                    sample("nginx", (50 + minute // 100) << 20, starts=int(minute in (0, 900))),
                    sample("denied", None),
                )
                journal.append(tick(0, *samples, time=begin + 60 * minute), delivered=None)
        journal.trim(begin + 2 * DAYS, delivered=None, seconds=60)
    return path


def on_terminal(*arguments: str, columns: int = 80) -> list[str]:
    """Run `psstop history` on a terminal and give what it shows."""
    with terminal(*HISTORY, *arguments, columns=columns) as shown:
        wait_for(lambda: (shown.shown(), shown.process.poll())[1] is not None, 20, "the end of psstop history")
        return shown.shown().split("\r\n")[:-1]


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_the_plot_fits_the_terminal(columns: int, running: Daemon) -> None:
    """While the daemon runs: axes, dots, numbers, and no line that the terminal would break."""
    lines = on_terminal(NAME.decode(), "--journal", str(running.journal), columns=columns)
    text = "\n".join(lines)

    assert max(map(len, lines)) <= columns
    assert len(lines) <= 24
    assert BRAILLE.search(text)
    assert re.search(r"min [\d.]+ [KM]iB +median [\d.]+ [KM]iB\s+max [\d.]+ [KM]iB +(now|last) [\d.]+ [KM]iB", text)
    assert re.search(r"\d+ samples", text)
    assert lines[0].startswith("history-prog  pss_bytes  ")


def test_a_console_gets_ascii(running: Daemon) -> None:
    """The kernel's own console has no braille in its font."""
    environ = clean_environ() | {"TERM": "linux", "COLUMNS": "50", "LINES": "20"}
    done = psstop("history", NAME.decode(), "--plot", "--journal", str(running.journal), environ=environ)

    assert done.returncode == 0
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines())) == 50


def test_a_pipe_gets_rows(running: Daemon) -> None:
    """Without a terminal a line for each tick, with a column more for a field that has none."""
    done = psstop("history", NAME.decode(), "--field", "read", "--journal", str(running.journal))
    heading, *rows = done.stdout.splitlines()

    assert heading.split()[-3:] == ["UNREADABLE", "STARTS", "READ_US"]
    assert len(rows) >= 4
    assert all(row.endswith(" us") for row in rows)


def test_csv_is_every_sample(running: Daemon) -> None:
    """Header and rows, bytes, the time for programs and for people."""
    ticks = {stored.time: stored for stored in running.ticks()}
    done = psstop("history", NAME.decode(), "--csv", "--journal", str(running.journal))
    rows = [*csv.DictReader(done.stdout.splitlines())]

    assert done.stdout.startswith(",".join(COLUMNS) + "\n")
    assert {*ticks} <= {int(row["time"]) for row in rows}
    for row in rows[: len(ticks)]:
        [(_, values)] = ticks[int(row["time"])].samples
        assert [row[field] for field in SAMPLE_FIELDS] == ["" if value is None else str(value) for value in values]
        assert row["source"] == "tick"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", row["iso"])


def test_json_is_every_sample_and_what_it_says(long_ago: str) -> None:
    """The keys stay: the numbers of the plot, restarts, gaps, and samples of ticks and rollups."""
    done = psstop("history", "nginx", "--since", "3d", "--field", "pss", "--json", "--journal", long_ago)
    story = json.loads(done.stdout)
    sources = [one["source"] for one in story["samples"]]
    [gap], [restart] = story["gaps"][:1], story["restarts"]

    assert [*story] == [
        *("name", "field", "since", "until", "min", "median", "max", "last", "change"),
        *("unmeasured", "restarts", "gaps", "samples"),
    ]
    assert [*story["samples"][0]] == [*COLUMNS]
    assert (story["name"], story["field"], story["unmeasured"]) == ("nginx", "pss_bytes", 0)
    assert (story["min"], story["max"]) == (50 << 20, 78 << 20)
    assert (restart["starts"], gap["end"] - gap["begin"]) in [(1, 100 * 60), (1, 105 * 60)]
    assert sources == ["rollup"] * sources.count("rollup") + ["tick"] * sources.count("tick")
    assert 2 * DAYS // FIVE_MINUTES - 40 < sources.count("rollup") < 2 * DAYS // FIVE_MINUTES - 25
    assert 50 < sources.count("tick") < 62


def test_the_plot_of_rollups(long_ago: str) -> None:
    """What is left of two days is drawn, restart and gap are marked and explained, and the kinds of samples told."""
    lines = on_terminal("nginx", "--since", "47h", "--journal", long_ago)
    text = "\n".join(lines)

    assert re.search(r"\d+ samples   \d+ of them rollups of 5 minutes, up to ", text)
    assert re.search(r"\^ restart: 1 process started   ~ 1 gap: 10[05] min without samples", text)
    marks = next(line for line in lines if set(line.strip()) <= {"~", "^", " "} and line.strip())
    assert marks.index("~") < marks.index("^")
    assert all(line[marks.index("~") : marks.rindex("~") + 1].strip(" ⠀") == "" for line in lines if "│" in line)


def test_a_field_without_rollups(long_ago: str) -> None:
    """Where only rollups are left, what they don't keep is said; where there are ticks as well, they are shown."""
    gone = psstop("history", "nginx", "--since=2d", "--until=1d", "--field=read", "--plot", "--journal", long_ago)
    some = psstop("history", "nginx", "--since=2d", "--field=read", "--plot", "--journal", long_ago)

    assert (gone.returncode, gone.stdout) == (1, "")
    assert "only rollups of 5 minutes are left, which keep pss_bytes, swap_pss_bytes, " in gone.stderr
    assert re.search(r"up to [\d-]+ [\d:]+ rollups alone, without read_us", some.stdout)


def test_nothing_measured_is_said(long_ago: str) -> None:
    """Processes that nobody could read have no plot of zeros."""
    done = psstop("history", "denied", "--plot", "--journal", long_ago)
    rows = psstop("history", "denied", "--journal", long_ago).stdout.splitlines()[1:]

    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(
        r"denied: pss_bytes was measured in none of \d+ samples; the processes were unreadable", done.stderr
    )
    assert {tuple(row.split()[2:]) for row in rows} == {("-", "-", "-", "-", "1", "1", "0")}


def test_the_overview_for_programs(long_ago: str) -> None:
    """As JSON and as CSV it has the names, the bytes now, the changes, and null or nothing for what is not known."""
    done = psstop("history", "--json", "--journal", long_ago)
    table = psstop("history", "--csv", "--journal", long_ago).stdout.splitlines()
    overview = json.loads(done.stdout)
    denied, nginx = overview["names"]

    assert [*overview, *nginx] == [
        "time",
        "field",
        "names",
        "name",
        "now",
        "change_1h",
        "change_24h",
        "change_7d",
        "hours",
    ]
    assert (nginx["name"], nginx["now"], nginx["change_7d"]) == ("nginx", 78 << 20, None)
    assert nginx["change_24h"] == 14 << 20
    assert len(nginx["hours"]) == 24
    assert {denied[key] for key in ("now", "change_1h", "change_24h", "change_7d")} == {None}
    assert table == [
        "name,now,change_1h,change_24h,change_7d",
        "denied,,,,",
        f"nginx,{78 << 20},{nginx['change_1h']},{14 << 20},",
    ]


def test_colour_is_for_terminals_that_want_it(long_ago: str) -> None:
    """A terminal has it, and neither a pipe nor NO_COLOR has."""
    colourful = on_terminal("--journal", long_ago)
    refused = on_terminal_of({"NO_COLOR": "1"}, "--journal", long_ago)
    piped = psstop("history", "--journal", long_ago)

    assert any("\x1b[31m" in line for line in colourful)
    assert "\x1b" not in "".join(refused) + piped.stdout
    assert max(map(len, refused)) <= 80


def on_terminal_of(environ: dict[str, str], *arguments: str) -> list[str]:
    """Run `psstop history` on a terminal with more in its environment."""
    variables = [f"{name}={value}" for name, value in environ.items()]
    with terminal("env", *variables, *HISTORY, *arguments) as shown:
        wait_for(lambda: (shown.shown(), shown.process.poll())[1] is not None, 20, "the end of psstop history")
        return shown.shown().split("\r\n")[:-1]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--csv",),
        (HOSTILE,),
        (HOSTILE, "--plot"),
        (HOSTILE, "--since=2020-01-01", "--until=2020-01-02"),
        (f"no{HOSTILE}",),
    ],
)
def test_names_of_a_foreign_journal_command_no_terminal(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Whoever wrote the journal: no escape sequence, no line end and no mark of direction gets through."""
    path = str(tmp_path / "journal.db")
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for second in range(3):
            journal.append(tick(0, time=int(time.time()) - 3 + second), delivered=None)
    with closing(connect(path)) as connection:
        connection.execute("UPDATE name SET name = ?", (HOSTILE,))
    done = psstop("history", *arguments, "--journal", path)

    assert "a defect" not in done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n"))
    assert len(done.stdout.splitlines()) < 25


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("x", "--field", "memory"), 2, "--field memory: no such field; there are pss, swap_pss, "),
        (("--field", "read"), 2, "--field read_us: without a name only what rollups keep: pss_bytes, "),
        (("--since", "2h"), 2, "--since, --until and --plot are about one name: psstop history NAME"),
        (("nginx", "--since", "1h", "--until", "2h"), 2, "--since 1h ("),
    ],
)
def test_wrong_usage_is_explained(arguments: tuple[str, ...], code: int, said: str, long_ago: str) -> None:
    """What can't be shown is answered with what can."""
    done = psstop("history", *arguments, "--journal", long_ago)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)


def test_it_starts_with_what_it_needs(long_ago: str, tmp_path: Path) -> None:
    """Neither the settings nor anything else that is heavy is imported to read a journal, by its path or a config's."""
    config = tmp_path / "psstop.toml"
    config.write_text(f'[journal]\npath = "{long_ago}"\n')
    heavy = ["pydantic", "influxdb_client", "inspect", "statistics", "psstopd.service"]
    for options in (["--journal", long_ago], ["--config", str(config)]):
        program = (
            "import sys; from psstopd.cli.client import main; "
            f"code = main(['history', 'nginx', *{options}, '--since=2d', '--plot']); "
            f"print(code, [name for name in {heavy} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert done.stderr == "0 []\n"
