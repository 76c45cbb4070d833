"""The local record of every tick: the queue for delivery and the history for people."""
