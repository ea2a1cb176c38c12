"""The probes: one file each, of the same name as its C file in bpf/. A file registers itself by being here.

A probe module has `Probe`, a class that implements `netprobe.probes.base.Probe`.
"""
