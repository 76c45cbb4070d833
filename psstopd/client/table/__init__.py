"""One row for each process."""
