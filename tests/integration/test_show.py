"""`psstop show` of real processes whose mappings are known to the page."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from psstopd.client.mappings.table import Kind
from psstopd.kernel.errors import Unparseable
from psstopd.kernel.mappings import Mapping, read_mappings
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.pages import Span, count_pages
from psstopd.kernel.procfs import Procfs
from psstopd.model import Unreadable
from psstopd.words import cure
from tests.integration import memory_fixture
from tests.integration.mapping_fixture import STACK_PAGES, build, size_of, unique_to
from tests.integration.memory_fixture import Family
from tests.integration.pagemap import PAGE
from tests.programs import HOSTILE, named_programs
from tests.terminal import terminal
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
KIB, MIB = 1 << 10, 1 << 20
SHOW = [sys.executable, "-m", "psstopd.cli.client", "show"]
COMMON_PAGES = 300
COMMON = f"""
static const volatile char pages[{COMMON_PAGES} * 4096] = {{1}};
__attribute__((constructor)) static void touch(void)
{{
    for (unsigned at = 0; at < sizeof pages; at += 4096)
        (void)pages[at];
}}
"""
# A reserve of 2 TiB: to look through it for the few pages that it has takes more than a second.
RESERVE = """
import mmap, sys
reserve = mmap.mmap(-1, 1 << 41, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
reserve[0] = 1
print("ready", flush=True)
sys.stdin.read()
"""
# The first call has all imports made, because nobody may not even read our files.
AS_NOBODY = """
import contextlib, io, os, subprocess, sys
from psstopd.cli.client import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["show", str(os.getpid()), "--exact"])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with subprocess.Popen(["sleep", "60"]) as own:
    asked = [[sys.argv[1]], [str(own.pid)], [str(own.pid), "--exact"]]
    codes = [main(["show", *arguments]) for arguments in asked]
    own.kill()
sys.exit(codes != [1, 0, 69])
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program under a name that no other test uses."""
    return build(tmp_path_factory.mktemp("show") / f"parts-{os.getpid() % 100_000}")


@pytest.fixture(scope="module")
def family(program: Path) -> Iterator[Family]:
    """Give a process with every kind of mapping, and its child."""
    with Family(program, str(program.with_name("file")), program.with_name("doomed")) as family:
        family.await_ready()  # the child has said it first
        try:
            yield family
        finally:
            subprocess.run(["ipcrm", "-m", str(family.regions["staying_id"])], check=True)


def run(*arguments: str | int, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `psstop show` in a pipe and check its exit code."""
    command = [*SHOW, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def show(*arguments: str | int) -> dict[str, Any]:
    """Give what `psstop show --json` says."""
    answer: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return answer


def rows(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the rows by name."""
    return {row["mapping"]: row for row in answer["mappings"]}


def sizes(row: dict[str, Any]) -> tuple[int, int, int]:
    """Give PSS, private and shared."""
    return row["pss_bytes"], row["private_bytes"], row["shared_bytes"]


def names(program: Path, family: Family) -> dict[str, str]:
    """Give the name of the row of each region that has one of its own."""
    return {
        "file": str(program.with_name("file")),
        "doomed": f"{program.with_name('doomed')} (deleted)",
        "memfd": r"[memfd a\x1b[2J\x0a 9 [heap]]",
        "staying": f"[SysV shared memory, key 0x00000000, id {family.regions['staying_id']}]",
        "ending": f"[SysV shared memory, key 0x00000000, id {family.regions['ending_id']}]",
    }


def test_every_mapping_of_a_process_has_its_size(program: Path, family: Family) -> None:
    """What one process alone maps is private and PSS to the byte; what it shares is half its own."""
    found = rows(show(family.pid))

    for region, name in names(program, family).items():
        assert sizes(found[name]) == (size_of(region), size_of(region), 0), region
        assert found[name]["size_bytes"] == size_of(region)
    shared = size_of("shared")
    assert sizes(found["[shared anonymous]"]) == (shared * 3 // 4, shared // 2, shared // 2)
    assert found["[heap]"]["shared_bytes"] >= size_of("heap")
    assert 0 <= found["[heap]"]["pss_bytes"] - size_of("heap") // 2 <= 64 * KIB
    private = size_of("private")
    assert 0 <= found["[anonymous]"]["private_bytes"] - private // 2 <= 64 * KIB


def test_kinds_are_told(program: Path, family: Family) -> None:
    """Every row says what it is, and a deleted file is marked."""
    found = rows(show(family.pid))
    kinds = {region: found[name]["kind"] for region, name in names(program, family).items()}

    assert kinds == {"file": "file", "doomed": "deleted file", "memfd": "memfd", "staying": "sysv", "ending": "sysv"}
    assert (found["[heap]"]["kind"], found["[stack]"]["kind"]) == ("heap", "stack")
    assert {row["kind"] for row in found.values()} <= set(Kind)


@pytest.mark.root
def test_each_thread_has_its_stack(family: Family) -> None:
    """The stacks that the kernel does not name are found by their pointers, and named after their threads."""
    answer = show(family.pid)
    threads = {int(task.name) for task in Path(f"/proc/{family.pid}/task").iterdir()} - {family.pid}
    stacks = {name: row for name, row in rows(answer).items() if name.startswith("[stack of thread")}

    assert {int(name.split()[3]) for name in stacks} == threads
    assert {name.split(maxsplit=4)[4] for name in stacks} == {"worker]", r"\x1b[2J\x0a x]"}
    assert all(0 <= row["private_bytes"] - STACK_PAGES * PAGE <= 3 * PAGE for row in stacks.values()), stacks
    assert answer["stacks_not_found"] == 0


def test_processes_of_a_name_are_summed(program: Path, family: Family) -> None:
    """Mappings that mean the same are one row, however many processes have them."""
    answer = show(program.name)
    found, shared, private = rows(answer), size_of("shared"), size_of("private")

    assert sorted(one["pid"] for one in answer["processes"]) == sorted(family.pids)
    assert sizes(found["[shared anonymous]"]) == (shared, shared // 2, shared)
    assert found["[heap]"]["pss_bytes"] >= size_of("heap")
    assert found["[anonymous]"]["pss_bytes"] >= private * 3 // 2
    assert found["[shared anonymous]"]["mappings"] == 2


def test_execve_during_the_read_gives_no_part_of_the_mappings(tmp_path: Path) -> None:
    """Smaps ends early when its process goes on as another program; that is not an answer."""
    program = memory_fixture.build(tmp_path)
    with Family(program, "exec", program, 20_000) as family:
        whole = read_mappings(Procfs(), family.pid)
        outcomes: list[list[Mapping] | Unparseable] = []
        reading = threading.Thread(target=lambda: outcomes.append(mappings_or_reason(family.pid)))
        reading.start()
        wait_for(lambda: is_open(f"/proc/{family.pid}/smaps"), 5, "smaps is being read")
        family.go_on()
        reading.join()
        family.await_ready()

    assert len(whole) > 20_000
    assert isinstance(outcomes[0], Unparseable) or outcomes[0] == whole


def mappings_or_reason(pid: int) -> list[Mapping] | Unparseable:
    """Read the mappings of a process, or give the reason why that was not possible."""
    try:
        return read_mappings(Procfs(), pid)
    except Unparseable as reason:
        return reason


def is_open(path: str) -> bool:
    """Tell whether this process has a file open."""
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(fd.readlink()) == path:
                return True
    return False


@pytest.mark.root
def test_an_address_space_counts_once(tmp_path: Path) -> None:
    """Two processes that share all of their memory have it once, and the second one is mentioned."""
    with Family(memory_fixture.build(tmp_path), "clone", 500) as pair:
        answer, alone = show(*pair.pids, "--exact"), show(pair.pid)
        said = run(*pair.pids).stdout

    assert [one["pid"] for one in answer["processes"]] == [pair.pid]
    assert answer["sharing_an_address_space"] == 1
    assert answer["total"] == alone["total"]
    assert answer["exact"]["unique_bytes"] >= 500 * PAGE
    assert "1 process more in the address space of one of these: counted once" in said


def test_the_sum_is_the_rollups(program: Path, family: Family) -> None:
    """Rows add up to the total, and the total to the rollup but for what the kernel cuts off each mapping."""
    answer = show(program.name)
    mappings = sum(len(Path(f"/proc/{pid}/maps").read_text().splitlines()) for pid in family.pids)
    rollup = sum(MemoryReader(Procfs()).read(pid).memory.pss for pid in family.pids)

    for column in ("pss_bytes", "private_bytes", "shared_bytes", "swap_pss_bytes", "size_bytes"):
        assert sum(row[column] for row in answer["mappings"]) == answer["total"][column]
    assert answer["total"]["mappings"] == mappings
    assert answer["rollup"] == {"pss_bytes": rollup, "differs_by_rounding_alone": True}
    assert 0 <= rollup - answer["total"]["pss_bytes"] <= mappings * KIB


def test_the_biggest_are_shown_and_the_rest_in_one_row(program: Path, family: Family) -> None:
    """With -n the sum stays what it was."""
    everything, some = show(program.name), show(program.name, "-n", 3)

    assert some["mappings"][1:] == everything["mappings"][-3:]
    assert some["mappings"][0]["mapping"] == f"[{len(everything['mappings']) - 3} smaller ones]"
    assert sum(row["pss_bytes"] for row in some["mappings"]) == some["total"]["pss_bytes"]
    assert len(family.children) == 1


def test_csv_has_the_same_rows(family: Family) -> None:
    """CSV and JSON tell the same."""
    table = list(csv.DictReader(io.StringIO(run(family.pid, "--csv").stdout)))
    answer = show(family.pid)["mappings"]

    assert table == [{key: str(value) for key, value in row.items()} for row in answer]


@pytest.mark.root
def test_unique_pages_are_the_tests_own_count(program: Path, family: Family) -> None:
    """Of the family, and of each process, --exact finds what a count page by page finds."""
    for pids in (family.pids, *([pid] for pid in family.pids)):
        answer, truth = show(*pids, "--exact"), unique_to(pids)

        exact = answer["exact"]
        assert (exact["unique_once_bytes"], exact["unique_among_them_bytes"]) == truth
        assert exact["unique_bytes"] == sum(truth)
        assert sum(row["unique_bytes"] for row in answer["mappings"]) == sum(truth)
    assert rows(show(program.name, "--exact"))["[shared anonymous]"]["unique_bytes"] == size_of("shared")


@pytest.mark.root
def test_what_comes_back_is_told_from_what_stays(family: Family) -> None:
    """Only what nobody can come to by a name is free when all have ended."""
    exact = show(*family.pids, "--exact")["exact"]

    assert exact["unnamed_bytes"] == sum(map(size_of, ("shared", "doomed", "memfd", "ending")))
    assert exact["comes_back_bytes"] == exact["unnamed_bytes"] + exact["anonymous_bytes"]
    assert exact["shared_memory_stays_bytes"] >= size_of("staying")
    assert exact["shared_memory_stays_bytes"] + exact["page_cache_bytes"] > size_of("staying") + size_of("file")
    assert exact["unique_among_them_bytes"] >= size_of("heap") + size_of("private") // 2 + size_of("shared") // 2


@pytest.mark.root
def test_pages_shared_with_others_are_not_unique(family: Family) -> None:
    """What the child still has in common with its parent does not come back with the child."""
    exact = show(family.children[0], "--exact")["exact"]

    assert exact["others_too_bytes"] >= size_of("heap") + size_of("private") // 2 + size_of("shared") // 2
    assert 0 <= exact["anonymous_bytes"] - size_of("private") // 2 <= 64 * KIB
    assert exact["unnamed_bytes"] == 0


@pytest.mark.root
def test_memory_beyond_the_table_is_counted_window_by_window(family: Family) -> None:
    """A table for a part of the machine's memory alone brings the same sums, in several passes."""
    spaces = {
        pid: [
            Span(one.start, one.end, number) for number, one in enumerate(read_mappings(Procfs(), pid)) if one.private
        ]
        for pid in family.pids
    }
    shares: list[float] = []
    count = partial(count_pages, "/proc", spaces, [])

    assert count(shares.append, window=1 << 18) == count(lambda _share: None)
    assert shares == sorted(shares)
    assert shares[-1] <= 1


@pytest.mark.root
def test_psstop_itself_counts_for_nothing(tmp_path: Path) -> None:
    """A library that a process has in common with psstop alone is all its own, as psstop ends too."""
    library = tmp_path / "common.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"], input=COMMON, check=True, text=True)
    environment = os.environ | {"LD_PRELOAD": str(library)}
    with subprocess.Popen(["sleep", "60"], env=environment) as other:
        wait_for(lambda: str(library) in Path(f"/proc/{other.pid}/maps").read_text(), 5, "it has the library")
        command = [*SHOW, str(other.pid), "--exact", "--json"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        other.kill()

    row = rows(json.loads(done.stdout))[str(library)]
    assert row["shared_bytes"] >= COMMON_PAGES * PAGE
    assert row["unique_bytes"] == row["private_bytes"] + row["shared_bytes"]


def test_an_unknown_name_or_pid_is_said() -> None:
    """Exit code 1 and one line on standard error."""
    for target in ("no-such-program", "4194303", "\x1b[2J"):
        done = run(target, code=1)

        assert "no process with memory has this name or pid" in done.stderr
        assert "\x1b" not in done.stderr
        assert done.stdout == ""


def test_one_name_of_several_that_is_unknown_is_said(family: Family) -> None:
    """The others are shown."""
    done = run(family.pid, "no-such-program")

    assert done.stderr.startswith("no-such-program: no process")
    assert f"1 process ({family.pid}): " in done.stdout


@pytest.mark.root
def test_one_needs_no_rights_for_ones_own(family: Family) -> None:
    """Other users' processes, and the frames of one's own, take rights that are named."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(family.pid)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 process (") == 1
    denied, exact = done.stderr.splitlines()
    assert denied == f"{family.pid}: 1 not readable: {cure(Unreadable.DENIED, 65534)}"
    assert exact.startswith("--exact: ")
    assert "run as root" in exact


@pytest.mark.root
def test_root_of_a_container_is_told_what_exact_takes(family: Family) -> None:
    """Docker's root is root without CAP_SYS_ADMIN: to become root is no cure."""
    command = ["setpriv", "--inh-caps=-all", "--bounding-set=-sys_admin", *SHOW, str(family.pid), "--exact"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 69
    assert done.stderr.startswith("--exact: pagemap hides the frame numbers: CAP_SYS_ADMIN; root needs CAP_SYS_ADMIN")


def test_without_numpy_the_cure_is_named(family: Family) -> None:
    """--exact is an extra; all else does without."""
    without = (
        "import sys; sys.modules['numpy'] = None; from psstopd.cli.client import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", without, "show", str(family.pid)]
    plain = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    exact = subprocess.run([*command, "--exact"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert plain.returncode == 0, plain.stderr
    assert exact.returncode == 69
    assert "pip install 'psstopd[exact]'" in exact.stderr


def test_a_pipe_gets_plain_text(family: Family) -> None:
    """No colour, no bar, and nothing of a hostile name that a terminal would obey."""
    done = run(family.pid)

    assert done.stdout.isascii()
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert done.stderr == ""
    assert sum("[heap]" in line for line in done.stdout.splitlines()) == 2  # its own row, and the memfd's


def test_hostile_program_names_forge_no_line() -> None:
    """Programs may be called anything; the table has its lines and no other."""
    with named_programs(*HOSTILE):
        for name in (r"\x1b[2J\x1b]0;x\x07", r"\xff\xfe,", r"x\x0apsstop y=1i"):
            answer = show(name)

            assert {one["name"] for one in answer["processes"]} == {name}
            assert run(name).stdout.count(": smaps_rollup says") == 1


def test_a_reader_that_has_seen_enough_ends_it_silently(family: Family) -> None:
    """Closing the pipe is no error."""
    command = f"{' '.join(SHOW)} {family.pid} | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split()[0] == "PSS"
    assert done.stderr == ""


def test_ctrl_c_ends_it_silently(tmp_path: Path) -> None:
    """An interrupt in the middle of reading leaves nothing on standard error."""
    crumbled = memory_fixture.build(tmp_path)
    with Family(crumbled, "exec", crumbled, 60_000) as family:
        command = [*SHOW, str(family.pid)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
            wait_for(lambda: resident(started.pid) > 60 * MIB, 5, "it reads")
            started.send_signal(signal.SIGINT)
            shown, said = started.communicate(timeout=20)

    assert (started.returncode, shown, said) == (130, b"", b"")


def resident(pid: int) -> int:
    """Give the resident size of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def test_a_terminal_gets_lines_of_its_width(family: Family) -> None:
    """A path that is too long is cut at its beginning."""
    with terminal(*SHOW, str(family.pid), columns=80) as shown:
        lines = shown.await_lines("1 process (", 1)
        everything = shown.shown()

    assert lines
    rows_shown = [line for line in everything.split("\r\n") if "KiB" in line and "smaps_rollup" not in line]
    assert all(len(line.replace("\x1b[1m", "").replace("\x1b[0m", "")) <= 80 for line in rows_shown)
    assert any("…" in line and line.endswith("file") for line in rows_shown)


@pytest.mark.root
def test_a_bar_moves_on_a_terminal_alone() -> None:
    """What takes over a second says how far it has come, on a terminal, and leaves nothing there; not in a pipe."""
    command = [sys.executable, "-S", "-c", RESERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"ready\n"
        with terminal(*SHOW, str(holder.pid), "--exact", columns=80) as shown:
            shown.await_lines("1 process (", 1)
            everything = shown.shown()
        piped = run(holder.pid, "--exact")
        holder.stdin.close()

    drawn, _, table = everything.rpartition("\r\x1b[K")
    assert "counting pages [###" in drawn
    assert "counting" not in table
    assert (piped.stderr, "counting" in piped.stdout) == ("", False)
