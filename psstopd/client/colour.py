"""Colour for terminals that want it: none in a pipe, none with NO_COLOR (no-color.org), none on a dumb terminal."""

import os
from collections.abc import Callable
from typing import TextIO

BOLD, RED, GREEN, YELLOW = "1", "31", "32", "33"

Paint = Callable[[str, str], str]


def painter(stream: TextIO) -> Paint:
    """Give the function that puts a colour on a text for this stream."""
    dull = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return _plain if dull or not stream.isatty() else _colour


def _plain(_colour: str, text: str) -> str:
    return text


def _colour(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"
