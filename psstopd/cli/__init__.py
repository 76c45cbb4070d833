"""The commands psstopd and psstop, one module each; the only place that wires the other packages together."""
