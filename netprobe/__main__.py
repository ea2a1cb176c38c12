"""`python -m netprobe` is `netprobe`."""

from netprobe.cli import main

main()
