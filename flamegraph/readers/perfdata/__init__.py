"""The parts of the perf.data reader, from bytes to a Profile."""
