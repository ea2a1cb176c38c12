"""The testbed: a server with configurable faults, network namespaces that support busy polling, and scenarios."""
