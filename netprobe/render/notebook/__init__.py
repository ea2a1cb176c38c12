"""The results of `netprobe.load()` and `netprobe.compare()`, and how a notebook displays them."""
