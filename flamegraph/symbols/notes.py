"""What could not be symbolised and why, said once for all that share a reason."""

from __future__ import annotations

_NAMED = 3
_REMEMBERED = 4096


class Notes:
    """Reasons and whom they concern, bounded in number."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[str, None]] = {}

    def add(self, reason: str, subject: str = "") -> None:
        """One sentence without its full stop; a subject is named behind it, once."""
        subjects = self._subjects.setdefault(reason, {})
        if subject and len(subjects) < _REMEMBERED:
            subjects[subject] = None

    def sentences(self) -> list[str]:
        """In the order in which the reasons appeared."""
        return [_sentence(reason, list(subjects)) for reason, subjects in self._subjects.items()]


def _sentence(reason: str, subjects: list[str]) -> str:
    if not subjects:
        return f"{reason}."
    more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
    return f"{reason}: {', '.join(subjects[:_NAMED])}{more}."
