"""CPU lists as the kernel writes them."""

from __future__ import annotations


def parse_cpu_list(text: str) -> list[int]:
    """`0-3,8` as [0, 1, 2, 3, 8]; an empty text as []. Raises `ValueError` for what is no list."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ValueError(f"{part} begins above its end")
        cpus += range(int(first), int(last or first) + 1)
    return cpus
