"""Write the manual pages and the completions of both commands from the parsers that `--help` is written from.

`make man` runs this, and a test keeps what it wrote up to date: `python -m tests.pages DIRECTORY`.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

import shtab
from argparse_manpage.manpage import Manpage

from psstopd import __version__
from psstopd.cli import client_parser, daemon

_LINE = 10_000  # no line of usage is broken but by those who show the page


class Command(NamedTuple):
    """One command, its parser, the section of the manual that it is in, and what else is there to be read."""

    parser: argparse.ArgumentParser
    section: int
    summary: str
    see_also: str


def commands() -> list[Command]:
    """Give the commands that are installed."""
    client, service = client_parser.parser(), daemon.parser()
    return [
        Command(client, 1, "which programs really use the memory of this server", r"\fBpsstopd\fR(8), \fBproc\fR(5)"),
        Command(service, 8, "record the memory of programs, and send it to InfluxDB", r"\fBpsstop\fR(1)"),
    ]


def manual(command: Command) -> str:
    """Give the page in roff, the epilog of the help as examples and exit codes. Without a date: the version tells."""
    parser = command.parser
    examples, _, codes = (parser.epilog or "").partition("\n\n")
    parser.epilog = None
    page = Manpage(parser, format="single-commands-section")
    page.date, page.source, page.manual = "", f"psstop {__version__}", "psstop"
    page.section, page.description = command.section, command.summary
    page.add_section("examples", "=", f".nf\n{_literal(examples.removeprefix('examples:').lstrip(chr(10)))}\n.fi")
    page.add_section("exit status", "=", ".br\n".join(f"{_literal(code)}\n" for code in _codes(codes)).rstrip())
    page.add_section("see also", "=", command.see_also)
    return str(page).replace(".SH\nPOSITIONAL ARGUMENTS", ".SH COMMANDS")


def completion(command: Command, shell: str) -> str:
    """Give the script of a shell; what the help calls FILE is completed as one."""
    _mark(command.parser)
    return str(shtab.complete(command.parser, shell)).rstrip("\n") + "\n"


def write(directory: Path) -> None:
    """Write all pages and scripts."""
    for command in commands():
        name = command.parser.prog
        for shell, file in (("bash", f"{name}.bash"), ("zsh", f"_{name}"), ("fish", f"{name}.fish")):
            _write(directory / "completion" / file, completion(command, shell))
        _write(directory / "man" / f"{name}.{command.section}", manual(command))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _mark(parser: argparse.ArgumentParser) -> None:
    """Tell shtab how to complete what is no word of ours; it asks the same private attribute what there is."""
    for action in parser._actions:  # noqa: SLF001
        if action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for subcommand in action.choices.values():
                _mark(subcommand)
        elif not action.option_strings and not action.choices:
            # Where zsh expects a name and has none to offer, it inserts no option either, not even the only one that
            # fits, unless it is told that names begin with no hyphen.
            action.complete = {"zsh": f"_guard '^-*' '{action.metavar or action.dest}'"}  # type: ignore[attr-defined]


def _codes(text: str) -> list[str]:
    """Split `exit codes: 0 fine, 2 wrong usage` before each number; a comma within an explanation stays."""
    words = " ".join(text.split()).removeprefix("exit codes: ").split(", ")
    codes: list[str] = []
    for word in words:
        if word[0].isdigit():
            codes.append(word)
        else:
            codes[-1] += f", {word}"
    return codes


def _literal(text: str) -> str:
    r"""Escape what roff would take for itself; a hyphen is `\-`, so that examples can be copied."""
    return text.rstrip("\n").replace("\\", r"\e").replace("-", r"\-")


if __name__ == "__main__":
    os.environ["COLUMNS"] = str(_LINE)
    write(Path(sys.argv[1]))
