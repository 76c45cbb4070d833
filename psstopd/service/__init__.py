"""The daemon: its loop, its notifications to systemd, and the shipper that it, or a keeper beside it, supervises."""
