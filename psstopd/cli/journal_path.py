"""Find the journal that a command is to read."""

import os

DEFAULT_CONFIG = "/etc/psstop/psstop.toml"
DEFAULT_JOURNAL = "/var/lib/psstop/journal.db"


def journal_path(journal: str | None, config: str | None) -> str:
    """Give `journal`, or the path that the config or the environment says. Raises CommandError with its problems.

    A config that says it plainly is not checked beyond that, which saves 200 ms; and what is recorded can be read while
    another part of the config is being mended.
    """
    if path := journal or _stated(config or DEFAULT_CONFIG):
        return path
    from psstopd.cli.load import load  # noqa: PLC0415 - with all that checks a config

    return load(config).journal.path


def _stated(config: str) -> str | None:
    """Read the path alone; None where it takes the whole check to know it, or to say what is wrong."""
    if any(variable.startswith("PSSTOP_JOURNAL") for variable in os.environ):
        return None
    import tomllib  # noqa: PLC0415 - 10 ms that --journal does without

    try:
        with open(config, "rb") as file:
            path = tomllib.load(file).get("journal", {}).get("path", DEFAULT_JOURNAL)
    except (OSError, ValueError, RecursionError, AttributeError):
        return None
    return path if isinstance(path, str) and path.isprintable() else None
