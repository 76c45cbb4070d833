"""One row for each program, unit, user or cgroup."""
