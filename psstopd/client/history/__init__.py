"""What the journal has, as a plot, as rows, or as a line for each name."""
