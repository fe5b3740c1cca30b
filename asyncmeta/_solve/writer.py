"""How is source text written?  Line by line, with indents that are never counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SourceWriter"]


class SourceWriter:
    """Collects lines of Python; ``with w.indent():`` sets a block apart."""

    __slots__ = ("_depth", "lines")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def line(self, text: str) -> int:
        """Add a line and return its number, counted from 1."""
        self.lines.append("    " * self._depth + text)
        return len(self.lines)

    @contextmanager
    def indent(self, head: str | None = None) -> Iterator[None]:
        """Indent what is written inside, below *head* where it is given."""
        if head is not None:
            self.line(head)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def text(self) -> str:
        """Return everything written."""
        return "\n".join(self.lines) + "\n"
