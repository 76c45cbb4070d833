"""Turn a journalled tick into InfluxDB's line protocol, so that no name or tag can forge another tag, field or line."""

import re
from collections.abc import Mapping

from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, SAMPLE_FIELDS

# group_by can bring up names without end; the cached prefixes of names that are gone must not pile up.
MAX_CACHED_PREFIXES = 10_000

# Identity of the process behind a slot: without it nobody can tell that a slot changed hands.
_UNFILTERED_PROCESS_FIELDS = frozenset({"pid", "start_time"})

# No server takes an empty tag value. No process can have a NUL in its name, so this one forges no other's.
_EMPTY = "\\x00"

# Servers differ in what they read a backslash before punctuation, another backslash or the end as; before a letter or
# a digit all of them take it literally.
_AMBIGUOUS_BACKSLASH = re.compile(r"\\(?![0-9A-Za-z])")
_PROCESSES = SAMPLE_FIELDS.index("processes")
_ONE_BYTE, _TWO_BYTES = 0xFF, 0xFFFF
_SPECIAL = re.compile("([,= ])")

_Values = tuple[int | None, ...]


def printable(text: str) -> str:
    r"""Write every character that is not printable as `\xNN`, `\uNNNN` or `\UNNNNNNNN`, lone surrogates included."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _code(ord(character)) for character in text)


def escape_tag(text: str) -> str:
    """Make any text a tag key or tag value: never empty, one line, read back by every server as one and the same."""
    plain = printable(_AMBIGUOUS_BACKSLASH.sub(r"\\x5c", text))
    return _SPECIAL.sub(r"\\\1", plain) or _EMPTY


class _Fields:
    """Writes the fields of one measurement, those that a filter leaves; nothing to close."""

    def __init__(self, names: tuple[str, ...], sent: frozenset[str] | None = None) -> None:
        """Take `names` in the order of the values, and those of them that are sent; None: all."""
        indexes = [index for index, name in enumerate(names) if sent is None or name in sent]
        self._indexes = None if len(indexes) == len(names) else indexes
        self._labels = [names[index] for index in indexes]
        self._template = ",".join(f"{label}=%di" for label in self._labels)

    def text(self, values: _Values) -> str:
        """Write `label=valuei` for everything that is sent and was measured."""
        chosen = values if self._indexes is None else tuple(values[index] for index in self._indexes)
        try:
            return self._template % chosen  # a third of the time that the labels one by one take
        except TypeError:  # for a None
            return ",".join(
                f"{label}={value}i" for label, value in zip(self._labels, chosen, strict=True) if value is not None
            )


class Encoder:
    """Encodes the ticks of one host under one configuration; nothing to close."""

    def __init__(self, host: str, tags: Mapping[str, str], *, fields: tuple[str, ...] | None = None) -> None:
        """Put `tags` on every point, `host` unless they name another; `fields` filters what is said of names."""
        named = {key: value for key, value in tags.items() if value}
        self._tags = {"host": host} | named
        sent = None if fields is None else frozenset(fields)
        self._sample_fields = _Fields(SAMPLE_FIELDS, sent)
        self._process_fields = _Fields(PROCESS_FIELDS, None if sent is None else sent | _UNFILTERED_PROCESS_FIELDS)
        self._health_fields = _Fields(("up", "names", *HEALTH_FIELDS))
        self._prefixes: dict[tuple[str, str, int | None], str] = {}
        self._health_prefix = _prefix("psstopd", self._tags)

    def lines(self, tick: StoredTick) -> list[str]:
        """Encode a tick: a line for each name, each recorded process, and the daemon itself, all at the tick's time."""
        # A point needs a field: where the filter leaves none, the number of processes says that the name was looked at.
        points = [
            (
                self._cached_prefix("psstop", name),
                self._sample_fields.text(values) or f"processes={values[_PROCESSES]}i",
            )
            for name, values in tick.samples
        ]
        points += [
            (self._cached_prefix("psstop_process", name, slot=slot), self._process_fields.text(values))
            for name, slot, values in tick.processes
        ]
        points.append((self._health_prefix, self._health_fields.text((1, len(tick.samples), *tick.health))))
        return [f"{prefix} {fields} {tick.time}" for prefix, fields in points]

    def _cached_prefix(self, measurement: str, name: str, *, slot: int | None = None) -> str:
        key = (measurement, name, slot)
        prefix = self._prefixes.get(key)
        if prefix is None:
            own = {"name": name} if slot is None else {"name": name, "slot": str(slot)}
            prefix = _prefix(measurement, self._tags | own)
            if len(self._prefixes) >= MAX_CACHED_PREFIXES:
                self._prefixes.clear()
            self._prefixes[key] = prefix
        return prefix


def _code(codepoint: int) -> str:
    """Name a code point in the shortest of the three forms that names are journalled with."""
    if codepoint <= _ONE_BYTE:
        return f"\\x{codepoint:02x}"
    return f"\\u{codepoint:04x}" if codepoint <= _TWO_BYTES else f"\\U{codepoint:08x}"


def _prefix(measurement: str, tags: Mapping[str, str]) -> str:
    """Write measurement and tags, sorted by key as InfluxDB recommends."""
    escaped = {escape_tag(key): escape_tag(value) for key, value in tags.items()}
    return ",".join((measurement, *(f"{key}={value}" for key, value in sorted(escaped.items()))))
