"""Why the journal cannot be written: one class for each decision that the daemon makes."""


class JournalUnusable(Exception):  # noqa: N818 - says what is, the caller decides what it is worth
    """Raised at start when the journal can't be opened for writing: the daemon can't begin."""


class JournalLocked(JournalUnusable):
    """Raised at start when another daemon writes this journal."""


class QuarantineFull(Exception):  # noqa: N818 - a state of the file
    """Raised when so many lines are set aside that somebody has to look before more are: keep what is in the queue."""


class JournalFull(Exception):  # noqa: N818 - a state of the disk
    """Raised when a tick could not be written for lack of space or a failing disk; it is held in memory meanwhile."""
