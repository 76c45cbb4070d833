"""Read the config for a command; nothing in it is right unless all of it is."""

import os
from pathlib import Path

from psstopd import exits
from psstopd.config import Config
from psstopd.exits import CommandError
from psstopd.settings_errors import SettingsError


def load(path: str | None, *, ships: bool = True) -> Config:
    """Read and check the config, by default the service's; who doesn't ship needs no token. Raises CommandError."""
    from psstopd import settings  # noqa: PLC0415 - pydantic takes 200 ms, and not every command needs the config

    try:
        return settings.load(None if path is None else Path(path), os.environ, ships=ships)
    except SettingsError as error:
        raise CommandError(str(error), exits.CONFIG) from error
