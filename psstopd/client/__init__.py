"""What `psstop` shows: found, put in order, written as text, JSON or CSV; `cli` makes commands of these rooms."""
