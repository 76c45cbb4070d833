"""A copy of this Python for one measurement: nobody else on the machine shares its pages, as if it were alone there.

PSS divides a page by those who map it. Every other Python process, this one first of all, would make psstop look
lighter than it is on a server that runs no Python.
"""

import shutil
import sysconfig
import venv
from pathlib import Path
from typing import NamedTuple


class Interpreter(NamedTuple):
    """A Python program, and the environment that makes it load its own copy of libpython."""

    program: str
    environment: dict[str, str]


def private_copy(directory: Path) -> Interpreter:
    """Copy the interpreter into `directory`; the standard library stays where it is, its extension modules too."""
    home = directory / "python"
    venv.create(home, symlinks=False, with_pip=False)
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        shutil.copy(library, home / "lib")
    return Interpreter(str(home / "bin" / "python"), {"LD_LIBRARY_PATH": str(home / "lib")})
