"""Commented configs to start from. To add one, put its YAML file here; its first line is its summary."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from normbench.errors import NormbenchError, did_you_mean, one_of


@dataclass(frozen=True)
class Recipe:
    """A config that `normbench init` writes."""

    name: str
    text: str

    @property
    def summary(self) -> str:
        """Return the first line, without the comment sign."""
        return self.text.splitlines()[0].removeprefix("#").strip()


def recipes() -> list[Recipe]:
    """Return all recipes, sorted by name."""
    found = [entry for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")]
    return [
        Recipe(entry.name.removesuffix(".yaml"), entry.read_text(encoding="utf-8"))
        for entry in sorted(found, key=lambda entry: entry.name)
    ]


def recipe_text(name: str) -> str:
    """Return the text of a recipe."""
    known = {recipe.name: recipe.text for recipe in recipes()}
    if name not in known:
        raise NormbenchError(f"recipe: '{name}' is unknown; {did_you_mean(name, known)}{one_of(known)}")
    return known[name]
