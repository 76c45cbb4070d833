"""Read and parse /proc/sysvipc/shm, sysvipc(7): the System V shared memory segments of this IPC namespace."""

from psstopd.kernel.procfs import read_whole

_MARKED = 0o1000  # SHM_DEST, include/uapi/linux/shm.h: removed when nobody has it attached any more


def ending_segments(root: str) -> set[int]:
    """Give the ids of the segments that end with their last user; none where the kernel has no such segments."""
    try:
        return parse_ending_segments(read_whole(f"{root}/sysvipc/shm"))
    except OSError:
        return set()


def parse_ending_segments(text: bytes) -> set[int]:
    """Pick the ids, in the second column, of segments that are marked in their permissions, in the third."""
    rows = (line.split(None, 3) for line in text.splitlines()[1:])
    return {int(row[1]) for row in rows if int(row[2], 8) & _MARKED}
