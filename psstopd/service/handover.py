"""Hand bytes to a process of ours through memory: a pipe would take 64 KiB and then make its writer wait."""

import os
from typing import BinaryIO


def in_memory(content: bytes = b"") -> BinaryIO:
    """Give a file without a name, memfd_create(2), that holds `content` and is read from its beginning.

    No disk ever sees it, and children inherit it only as one of their standard streams. Raises OSError without memory
    or descriptors.
    """
    file = os.fdopen(os.memfd_create("psstop"), "w+b")
    file.write(content)
    file.seek(0)
    return file
