"""The manual pages and the completions in docs/ are those of the parsers, and what shows them takes them."""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import commands
from tests.terminal import terminal

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MANUALS = {"psstop": DOCS / "man/psstop.1", "psstopd": DOCS / "man/psstopd.8"}
COMPLETION = DOCS / "completion"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Write all files anew."""
    subprocess.run([sys.executable, "-m", "tests.pages", tmp_path], cwd=ROOT, check=True)
    return tmp_path


@pytest.mark.parametrize("folder", ["man", "completion"])
def test_they_are_up_to_date(written: Path, folder: str) -> None:
    """Whoever changes an option, or the version, runs `make man`."""
    ours, fresh = texts(DOCS / folder), texts(written / folder)

    assert ours == fresh, "run `make man`"


def test_all_of_them_are_installed() -> None:
    """Each has its place below the prefix; hatch passes over those that it does not find, without a word."""
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    files = {path for folder in ("man", "completion") for path in (DOCS / folder).iterdir()}

    assert {ROOT / path for path in targets["wheel"]["shared-data"]} == files
    assert "/docs" in targets["sdist"]["include"]


@pytest.mark.parametrize("name", ["psstop", "psstopd"])
def test_every_option_is_in_all_of_them(name: str) -> None:
    """Subcommands and long options stand in the manual page and in each shell's completion."""
    parser = next(command.parser for command in commands() if command.parser.prog == name)
    manual = MANUALS[name].read_text().replace(r"\-", "-")
    bash, zsh = (COMPLETION / f"{name}.bash").read_text(), (COMPLETION / f"_{name}").read_text()
    fish = (COMPLETION / f"{name}.fish").read_text()

    for word in words(parser):
        assert word in manual
        assert word in bash
        assert word in zsh
        assert (f"-l {word[2:]} " if word.startswith("--") else f"-a {word} ") in fish


@pytest.mark.parametrize("name", ["psstop", "psstopd"])
def test_the_manual_renders_without_a_warning(name: str) -> None:
    """The formatter of `man` finds nothing to complain of, and examples keep their lines."""
    needs("groff")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", MANUALS[name]], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert f"\n         {name} --by program -S  " in done.stdout or name == "psstopd"
    assert "\n       70 a defect in psstop\n" in done.stdout


CASES = [
    ("psstop --b", ["--by"]),
    ("psstop --by ", ["cgroup", "program", "unit", "user"]),
    ("psstop sh", ["show"]),
    ("psstop show --ex", ["--exact"]),
    ("psstop history --j", ["--journal", "--json"]),
    ("psstopd quarantine ", ["drop", "export", "list", "retry"]),
    ("psstopd run --config /etc/host", ["/etc/hostname", "/etc/hosts"]),
]


@pytest.mark.parametrize(("typed", "offered"), CASES)
def test_bash_completes(typed: str, offered: list[str]) -> None:
    """Bash offers subcommands, options, their choices and files."""
    *before, last = typed.split(" ")
    script = f"source {COMPLETION}/{before[0]}.bash; COMP_WORDS=({' '.join(before)} '{last}'); COMP_CWORD={len(before)}"
    done = run("bash", "--norc", "-c", f"{script}; _shtab_{before[0]}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")

    assert set(offered) <= set(done.split())
    assert all(word.startswith(last) for word in done.split())


@pytest.mark.parametrize(("typed", "offered"), CASES)
def test_fish_completes(typed: str, offered: list[str]) -> None:
    """Fish offers the same."""
    name = typed.split(" ", 1)[0]
    done = run("fish", "--no-config", "-c", f"source {COMPLETION}/{name}.fish; complete --do-complete '{typed}'")

    assert set(offered) <= {line.split("\t")[0] for line in done.splitlines()}


@pytest.mark.parametrize("name", ["psstop", "psstopd"])
def test_zsh_finds_its_functions(name: str) -> None:
    """In a folder of $fpath, as where packages put them, the file is the command's completion, and zsh can parse it."""
    load = f"fpath=({COMPLETION} $fpath); autoload -Uz compinit; compinit -D -u; autoload +X _{name}"
    run("zsh", "-f", "-n", str(COMPLETION / f"_{name}"))
    done = run("zsh", "-f", "-c", f"{load}; print $_comps[{name}]; print $+functions[_{name}]")

    assert done.split() == [f"_{name}", "1"]


ON_A_TERMINAL = {
    "zsh": (["zsh", "-f", "-i"], f"fpath=({COMPLETION} $fpath); autoload -Uz compinit; compinit -D -u"),
    "bash": (["env", "INPUTRC=/dev/null", "bash", "--norc", "-i"], f"source {COMPLETION}/psstop.bash"),
}
TYPED = [
    ("psstop --so\t", "--sort"),
    ("psstop --s\t", "--s"),  # more than one begins so
    ("psstop --by prog\t", "--by program"),
    ("psstop sh\t", "show"),
    ("psstop show --ex\t", "show --exact"),
    ("psstop show nginx --so\tpri\t", "show nginx --sort private"),
    ("psstop show ngi\t", "show ngi"),  # names are not offered
    ("psstop history --f\tswap", "history --field swap"),
    ("psstop history --journal /etc/hostn\t", "history --journal /etc/hostname"),
]


@pytest.mark.parametrize("shell", ON_A_TERMINAL)
def test_tab_completes_the_line(shell: str) -> None:
    """On a terminal, Tab turns what was typed into the words that the command is started with."""
    needs(shell)
    argv, load = ON_A_TERMINAL[shell]
    with terminal(*argv) as shown:
        shown.type(f'{load}; psstop() {{ echo "started: $*."; }}\r'.encode())
        for typed, words in TYPED:
            shown.type(f"{typed}\r".encode())
            lines = shown.await_lines(f"started: {words}.", 1)

            assert len(lines) == 1


def texts(folder: Path) -> dict[str, str]:
    """Read the files of a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Give the long options and the subcommands of a parser and of all below it, less what every help has."""
    for action in parser._actions:  # noqa: SLF001 - nothing public tells them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, subcommand in action.choices.items():
                yield name
                yield from words(subcommand)
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            yield from (option for option in action.option_strings if option.startswith("--"))


def run(program: str, *arguments: str) -> str:
    """Run a shell and give what it writes. It may complain: it isn't in a terminal, where completion is at home."""
    needs(program)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs(program: str) -> None:
    """Skip without the program; in CI that is a failure."""
    if shutil.which(program) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {program}; nothing is skipped in CI", pytrace=False)
        pytest.skip(f"needs {program}")
