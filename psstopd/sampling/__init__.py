"""From /proc to samples: which processes belong to which name, when to measure, and how to sum."""
