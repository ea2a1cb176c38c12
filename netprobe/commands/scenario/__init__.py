"""`netprobe lab scenario`: the test bed, load, recordings and the report brought together."""
