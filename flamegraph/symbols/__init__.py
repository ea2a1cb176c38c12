"""Symbols of addresses: ELF files, debug files, kallsyms, perf-PID.map."""
