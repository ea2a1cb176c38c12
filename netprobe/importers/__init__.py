"""Reports of other tools, read into Runs: one module per format, recognized by content."""
