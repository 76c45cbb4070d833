"""Understand what people type for a field of the journal."""

from psstopd import exits
from psstopd.exits import CommandError
from psstopd.journal.schema import SAMPLE_FIELDS

_UNITS = ("_bytes", "_total", "_ms", "_us")


def field_named(text: str) -> str:
    """Give the field that is called so, or for short so: swap, rss, anon, starts. Raises CommandError naming all."""
    wanted = text.lower().replace("-", "_")
    for field in SAMPLE_FIELDS:
        if wanted in (field, stem := _stem(field), stem.removeprefix("pss_"), stem.removesuffix("_pss")):
            return field
    names = ", ".join(map(_stem, SAMPLE_FIELDS))
    raise CommandError(f"--field {text}: no such field; there are {names}", exits.USAGE)


def _stem(field: str) -> str:
    """Leave the unit out."""
    for unit in _UNITS:
        field = field.removesuffix(unit)
    return field
