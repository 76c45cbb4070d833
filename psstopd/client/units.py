"""Write sizes, changes and times for people."""

_STEP = 1024
_DIGITS = {"B": 0, "KiB": 0, "MiB": 1, "GiB": 3}  # behind the point, in a column of one unit
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: int | None) -> str:
    """Write a number of bytes with three digits or so and its unit; what was not measured is a dash."""
    if count is None:
        return "-"
    value, unit = float(abs(count)), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - at most three digits before the point
        value, unit = value / _STEP, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1  # noqa: PLR2004
    return f"{'-' if count < 0 else ''}{value:.{digits}f} {_UNITS[unit]}"


def in_unit(count: int | None, unit: str) -> str:
    """Write a number of bytes in a unit that is the same for all: `B`, `KiB` and so on, or `human` for each its own."""
    if unit == "human" or count is None:
        return size(count)
    return f"{count / _STEP ** _UNITS.index(unit):.{_DIGITS[unit]}f}"


def change(count: int) -> str:
    """Write a difference of bytes with its sign."""
    return f"+{size(count)}" if count > 0 else size(count)


def quantity(count: int | None, field: str) -> str:
    """Write a value of one of the journal's fields with the unit that the field's name ends in."""
    if field.endswith("_bytes"):
        return size(count)
    unit = {"_ms": " ms", "_us": " us"}.get(field[-3:], "")
    return "-" if count is None else f"{count}{unit}"


def quantity_change(count: int | None, field: str) -> str:
    """Write a difference of two values of a field with its sign."""
    return f"{'+' if count is not None and count > 0 else ''}{quantity(count, field)}"
