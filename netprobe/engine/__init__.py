"""The only code that touches BCC, BTF, BPF and privileges."""
