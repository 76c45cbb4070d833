"""Fit lines to a terminal."""

import os
from typing import TextIO


def width_of(stream: TextIO) -> int | None:
    """Give the width of the terminal behind a stream in cells, None where there is no terminal or it doesn't say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def cut(line: str, width: int | None) -> str:
    """Cut a line to the cells of a terminal; East Asian characters take two of them, combining ones none."""
    if width is None or (line.isascii() and len(line) <= width):
        return line
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - 1 MiB of tables that ASCII does without

    cells = 0
    for position, character in enumerate(line):
        cells += 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        if cells > width:
            return line[:position]
    return line
