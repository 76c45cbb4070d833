"""What is wrong with a config, in words: a line for each problem, with its place, its key and what would be right."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

SHOWN_CHARACTERS = 60
HUGE_BITS = 200

Location = tuple[int | str, ...]


class SettingsError(Exception):
    """The config cannot be used; `problems` holds every reason, each on one printable line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [_one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the values of one `load` came from: its file, and the variables that went before the file."""

    file: Path
    variables: Mapping[Location, str]

    def of(self, location: Location) -> str:
        """Name the variable that set `location` or a table around it, else the file."""
        prefixes = (location[:end] for end in range(len(location), 0, -1))
        return next((self.variables[prefix] for prefix in prefixes if prefix in self.variables), str(self.file))


class Problem(NamedTuple):
    """One key that is wrong; `found` is ready to show, None for what must not or need not be shown."""

    location: Location
    found: str | None
    text: str

    def line(self, origin: Origin) -> str:
        """Say it in one line."""
        found = "" if self.found is None else f" = {self.found}"
        return f"{origin.of(self.location)}: {key(self.location)}{found}: {self.text}"


def explain(details: Mapping[str, Any], right: str | None) -> str:
    """Say one of pydantic's `details` in our own words: its texts are for developers, and they quote secrets."""
    match details["type"]:
        case "missing":
            return f"is missing; give {right}"
        case "value_error":
            return str(details["ctx"]["error"])
        case _:
            return f"must be {right}"


def key(location: Location) -> str:
    """Write ("watch", 1, "comm") as `watch[1].comm`, counting from 0."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def shown(location: Location, value: object) -> str | None:
    """Write `value` for a message; None where there is none or it may hold a secret."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if value is None or _is_secret(location, value):
        return None
    if isinstance(value, int) and value.bit_length() > HUGE_BITS:
        return "a huge number"  # str() itself refuses more than 4300 digits
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _is_secret(location: Location, value: object) -> bool:
    """Tell whether a value may hold a token or a password, be it pasted into the wrong key."""
    last, text = location[-1], value if isinstance(value, str) else ""
    return (
        last in {"token", "influxdb"}
        or (last in {"token_file", "cert_file", "key_file"} and not text.startswith("/"))
        or (last == "url" and any(mark in text for mark in "@?#"))
    )


def unknown_key(location: Location, known: Sequence[str]) -> str:
    """Suggest which of the `known` dotted keys was meant by the one at `location`: misspelt, or in the wrong table."""
    *tables, last = (part for part in location if isinstance(part, str))
    everywhere = {path.rpartition(".")[2]: path for path in known}
    siblings = [path.rpartition(".")[2] for path in known if path.split(".")[:-1] == tables]
    if last == "names":
        return "unknown key, did you mean names? It belongs above the first [table]"
    close = [everywhere[name] for name in get_close_matches(last, everywhere)]
    candidates = [everywhere[last]] if last in everywhere else get_close_matches(last, siblings) or close
    hint = did_you_mean(candidates) or f"; known are {', '.join(siblings)}"
    return f"unknown key{hint}"


def refusal(variable: str, known: Sequence[str]) -> str:
    """Say why `variable` gave no value."""
    if variable in known:
        return """must be JSON, such as '["nginx"]' for a list or '{"dc": "fra1"}' for a table"""
    return f"unknown variable{did_you_mean(get_close_matches(variable, known))}"


def did_you_mean(candidates: Sequence[str]) -> str:
    """Put the first of `candidates`, if there is one, into the end of a message."""
    return f", did you mean {candidates[0]}?" if candidates else ""


def _one_line(text: str) -> str:
    """Escape what could end the line or steer a terminal: keys and paths are anyone's."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
