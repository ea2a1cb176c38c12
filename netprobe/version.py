"""The version of netprobe."""

__version__ = "0.1.0"
