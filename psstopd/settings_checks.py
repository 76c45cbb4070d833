"""The checks behind the settings that need no pydantic: the file itself, single values, and rules among each other.

A check of a value returns it, or raises ValueError with what follows the key and the value in a message.
"""

import re
import tomllib
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from psstopd.journal.schema import SAMPLE_FIELDS
from psstopd.settings_errors import Location, Problem, SettingsError, did_you_mean, key, shown

MAX_FILE_BYTES = 1 << 20
MAX_TAG_BYTES = 256
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {
    "B": 1,
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", 1)},
}
CONDITIONS = ("comm", "cmdline", "exe", "user", "unit")

Conditions = tuple[str | None, ...]
Named = tuple[Location, str]
Rule = tuple[Location, dict[str, str]]


def read_toml(file: Path) -> dict[str, Any]:
    """Read the TOML at `file`; raise SettingsError with the cure."""
    try:
        with file.open("rb") as stream:
            return parse_toml(stream.read(MAX_FILE_BYTES + 1))
    except FileNotFoundError as error:
        cure = "copy config/psstop.toml there or pass --config FILE"
        raise SettingsError([f"{file}: no such file; {cure}"]) from error
    except OSError as error:
        cure = "make it a file that the user who runs psstopd can read, or pass --config FILE"
        raise SettingsError([f"{file}: {(error.strerror or str(error)).lower()}; {cure}"]) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError([f"{file}: {error}"]) from error


def parse_toml(raw: bytes) -> dict[str, Any]:
    """Parse the bytes of a config file; raise ValueError, or RecursionError from a depth that nobody writes."""
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes, so it is no config file")
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8 at line {line}; save it as UTF-8") from error
    except ValueError as error:  # besides TOMLDecodeError, int()'s own for more than 4300 digits
        raise ValueError(f"not valid TOML: {error}") from error


def seconds(value: object) -> object:
    """Turn `90s`, `5m`, `2h` or `7d` into seconds; anything else comes back for the int check to judge."""
    return _scaled(value, SECONDS)


def byte_count(value: object) -> object:
    """Turn `512MiB` or `1GB` into bytes; anything else comes back for the int check to judge."""
    return _scaled(value, BYTES)


def _scaled(value: object, units: Mapping[str, int]) -> object:
    """Multiply the number in `value` by its unit."""
    match = re.fullmatch(r"([0-9]{1,18}) ?([A-Za-z]+)", value) if isinstance(value, str) else None
    return int(match[1]) * units[match[2]] if match and match[2] in units else value


def printable_text(value: str) -> str:
    """Refuse what would be invisible in a table or would break a line."""
    if not value:
        raise ValueError("must not be empty; leave the key out instead")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):  # Cs: what was no UTF-8
        raise ValueError("must not contain control characters or broken UTF-8")
    return value


def regex(value: str) -> str:
    """Refuse what `re` cannot compile."""
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(value)
    except re.error as error:
        where = "" if error.pos is None else f" at position {error.pos}"
        raise ValueError(f"must be a regular expression: {error.msg}{where}") from error
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return value


def base_url(value: str) -> str:
    """Refuse what is no plain base URL."""
    try:
        parts = urlsplit(value)
        plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bad port or a bad IPv6 address
        plain = False
    if not plain or not value.isascii() or not value.isprintable() or any(mark in value for mark in " @?#\\"):
        right = "http:// or https:// with a host, and without user, password, query or fragment"
        raise ValueError(f'must be {right}, such as "https://influx.example:8086"; a token goes into token_file')
    return value


def header_text(value: str) -> str:
    """Refuse a token that no HTTP header can carry."""
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be printable ASCII without spaces, and not empty; leave the key out for no token")
    return value


def tag_key(value: str) -> str:
    """Refuse the tags that psstop sets itself, and keys that need escaping."""
    if value in {"name", "slot", "kind", "time"}:
        raise ValueError("psstop sets this itself; choose another key for the tag")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", value):
        raise ValueError("the key of a tag must be of letters, digits, _ and -, beginning with a letter or _")
    return value


def tag_value(value: str) -> str:
    """Refuse what line protocol cannot carry."""
    if len(printable_text(value).encode()) > MAX_TAG_BYTES or "\\" in value:
        raise ValueError(f"must be at most {MAX_TAG_BYTES} bytes, without a backslash")
    return value


def sample_field(value: str) -> str:
    """Refuse a field that the measurement psstop does not have."""
    if value not in SAMPLE_FIELDS:
        hint = did_you_mean(get_close_matches(value, SAMPLE_FIELDS)) or f"; known are {', '.join(SAMPLE_FIELDS)}"
        raise ValueError(f"no such field{hint}")
    return value


def leaves(values: Mapping[str, Any]) -> Iterator[tuple[Location, Any]]:
    """Give each key with its value: the file is nothing but tables of keys."""
    for table, value in values.items():
        if isinstance(value, dict) and value:
            yield from (((table, key), nested) for key, nested in value.items())
        else:
            yield (table,), value


def number(value: object, wanted: object) -> object:
    """Make a variable's text the int or float that its key wants; anything else comes back for the model to judge."""
    if not isinstance(value, str):
        return value
    try:
        return int(value) if wanted is int else float(value) if wanted is float else value
    except ValueError:
        return value


def put(values: dict[str, Any], location: Location, value: object) -> None:
    """Set the value at `location`, in place of whatever is in its way."""
    *tables, last = map(str, location)
    for table in tables:
        if not isinstance(values.get(table), dict):
            values[table] = {}
        values = values[table]
    values[last] = value


def found(values: Mapping[str, Any], location: Location) -> object:
    """Give the value at `location`, None where there is none."""
    value: Any = values
    try:
        for part in location:
            value = value[part]
    except (LookupError, TypeError):
        return None
    return value


def conflicts(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find the rules that contradict each other in `values` as they were read, so that no other mistake hides them."""
    if not values.get("names") and not values.get("watch"):
        example = 'write names = ["nginx"], or a [[watch]] with group_by = "program" for every program'
        yield Problem(("names",), None, f"nothing to watch; {example}")
    names: list[Named] = [(("names", index), name) for index, name in _items(values, "names") if isinstance(name, str)]
    rules: list[Rule] = [(("watch", index), rule) for index, rule in _items(values, "watch") if _is_comparable(rule)]
    yield from _same_names(names, rules)
    yield from _unreachable(names, rules)


def _items(values: Mapping[str, Any], name: str) -> Iterator[tuple[int, Any]]:
    """Enumerate the list `name`, or nothing where it is none."""
    items = values.get(name)
    return enumerate(items if isinstance(items, list) else ())


def _is_comparable(rule: object) -> bool:
    """Tell whether a rule means what it says: one with a mistyped key or value has a problem of its own."""
    known = {"name", *CONDITIONS, "group_by"}
    return isinstance(rule, dict) and rule.keys() <= known and all(isinstance(value, str) for value in rule.values())


def _same_names(names: list[Named], rules: list[Rule]) -> Iterator[Problem]:
    """Find the names that are given twice."""
    fixed: list[Named] = [
        ((*location, "name"), rule["name"])
        for location, rule in rules
        if "name" in rule and rule.get("group_by", "rule") == "rule"
    ]
    first: dict[str, Location] = {}
    for location, name in (*names, *fixed):
        earlier = first.setdefault(name, location)
        if earlier != location:
            cure = "remove one of them" if location[0] == "names" else f"rename this rule or remove {key(earlier)}"
            yield Problem(location, shown(location, name), f"{key(earlier)} is the same name; {cure}")


def _unreachable(names: list[Named], rules: list[Rule]) -> Iterator[Problem]:
    """Find the rules that never match, because an earlier one takes all that they could."""
    first: dict[Conditions, Location] = {}
    for location, name in names:
        first.setdefault(_conditions({"comm": name}), location)
    for location, rule in rules:
        catch_all = first.get(_conditions({}))
        earlier = first.setdefault(_conditions(rule), location)
        if catch_all is not None:
            cure = f"it has no condition and takes every process; move {key(catch_all)} to the end"
            yield Problem(location, None, f"can never match after {key(catch_all)}: {cure}")
        elif earlier != location:
            cure = "it has the same conditions; remove one of them or change its conditions"
            yield Problem(location, None, f"can never match after {key(earlier)}: {cure}")


def _conditions(rule: Mapping[str, str]) -> Conditions:
    """Take what two rules must differ in; an entry of `names` is the same condition as a `comm` without wildcards."""
    return tuple(rule.get(condition) for condition in CONDITIONS)
