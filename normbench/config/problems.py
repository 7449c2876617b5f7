"""The problems of a config: collected while it is read, sorted by position, raised as one error."""

from __future__ import annotations

from dataclasses import dataclass, field

from normbench.errors import ConfigError

MAX_SHOWN = 50  # lines of one error; a broken generated file would otherwise print thousands
MAX_TEXT = 60  # characters of a value that a message repeats


@dataclass(frozen=True)
class Where:
    """A place in a config file (line and column count from 1), or an override (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass
class Problems:
    """Collects what is wrong, each thing once, and raises all of it together."""

    _lines: dict[tuple[Where, str], str] = field(default_factory=dict)

    def add(self, where: Where, key: str, text: str) -> None:
        """Note a problem; a second one about the same key at the same place follows from the first."""
        self._lines.setdefault((where, key), text)

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def enough(self) -> bool:
        """Return whether there are more than a message shows; then there is no need to look for others."""
        return len(self._lines) > MAX_SHOWN

    def texts(self) -> list[str]:
        """Return one line for each problem, in the order of the file; overrides come last."""
        ordered = sorted(
            self._lines.items(), key=lambda item: (item[0][0].line == 0, item[0][0].line, item[0][0].column)
        )
        return [f"{where}: {key}: {text}" if key else f"{where}: {text}" for (where, key), text in ordered]

    def raise_if_any(self) -> None:
        """Raise a `ConfigError` with all problems, if there are any."""
        lines = self.texts()
        if len(lines) > MAX_SHOWN:
            lines = [*lines[:MAX_SHOWN], f"... and {len(lines) - MAX_SHOWN} more"]
        if lines:
            raise ConfigError("\n".join(lines))


def shown(value: object) -> str:
    """Return a value the way messages repeat it: in quotes if it is text, and never longer than a line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"a mapping with {', '.join(map(str, list(value)[:4]))}" if value else "an empty mapping"
    if isinstance(value, list):
        text = "[" + ", ".join(map(shown, value[:4])) + (", ...]" if len(value) > 4 else "]")
        return text if len(text) <= MAX_TEXT else f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 4] + "..." + text[0]
