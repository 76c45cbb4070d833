"""One row for each mapping of some processes."""
