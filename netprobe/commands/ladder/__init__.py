"""`netprobe lab ladder`: the test bed, load, recordings and the report brought together."""
