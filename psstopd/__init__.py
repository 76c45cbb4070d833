"""Tell which programs really use the memory of a Linux server, now and over time, without disturbing them."""

__version__ = "0.1.0"
