"""The test bed: a server with each known fault on a switch, and namespaces that busy-poll for real."""
