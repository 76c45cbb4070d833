"""The daemon: its loop, its notifications to systemd, and the shipper child that it supervises."""
