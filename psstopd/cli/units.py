"""Write sizes, changes and times for people."""

_STEP = 1024
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


def change(count: int) -> str:
    """Write a difference of bytes with its sign."""
    return f"+{size(count)}" if count > 0 else size(count)


def duration(seconds: float) -> str:
    """Write a duration with its largest unit: 45 s, 12 min, 3 h, 5 d. A clock that was set back makes none negative."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
