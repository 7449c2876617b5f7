"""Writes docs/config.md: every key of a config, from the classes that read it.

python docs/config_page.py            # writes the page
python docs/config_page.py --check    # exit code 1 if the page is stale
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from md_table import table
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from normbench.config.keys import section_classes
from normbench.config.loader import parse
from normbench.config.problems import Problems, Where
from normbench.config.schema import AXES, SECTIONS, Config, Decide, EdgeAxis, Spaced, Train
from normbench.data import DATASETS
from normbench.measures import MEASURES
from normbench.measures.claim import Claim, Contrast, Expect
from normbench.models import MODELS
from normbench.norms import NORMS
from normbench.optimizers import OPTIMIZERS
from normbench.probes import PROBES, Probe
from normbench.registry import Registry, registry_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "config.md"
LONGEST = 60  # letters of an example
HEADS = ("key", "takes", "default", "meaning", "example")
HEAD = """# The config

`make pages` writes this page from the classes that read a config. Editors complete and check configs with
the same words: `normbench schema > normbench.schema.json`. `normbench init` writes a commented config.

Each key stands in the YAML file under its section: `model.depth` is `depth` below `model:`. `sweep` and
`--set` name it with its dots. A section that chooses from several has a short form, `model: mlp` for
`model: {name: mlp}`. A key that is not here is refused with file, line and the nearest key that exists.

```yaml
name: my_sweep
seeds: 5
data: {name: digits, batch_size: 60}
model: {name: mlp, depth: 3, width: 64}
optimizer: {name: sgd, lr: 0.1}
train: {steps: 300, eval_every: 50}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: {logspace: {from: 0.01, to: 10, num: 7}}
```

The column *example* has a value of a shipped config if one sets the key, and else a value that it accepts.

"""
OF_SWEEP = """## sweep

Each key is any dotted key of `data`, `model`, `optimizer` or `train`; its value is a list or an axis.
The grid is every combination; the first key varies slowest.

| form | meaning |
| --- | --- |
| `model.norm: [none, batchnorm]` | these values |
| `zip: [{optimizer.name: [sgd, adam], train.steps: [1000, 500]}]` | blocks of axes that move together |
| `exclude: [{model.norm: none, optimizer.lr: 10}]` | cells that are left out |
| `include: [{model.norm: none, optimizer.lr: 0.5}]` | cells that are added |

"""


def main() -> None:
    """Write the page, or compare it with what would be written."""
    text = HEAD + "\n".join(parts())
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is stale; run: make pages")


def parts() -> Iterator[str]:
    """Yield the sections of the page."""
    yield section("The whole file", "", Config, "")
    yield from chosen("data", "data", DATASETS)
    yield from chosen("model", "model", MODELS)
    yield "### model.norm\n\nEach normalization has [a page](norms/README.md) with its options.\n"
    yield table(("name", "options"), ((f"[`{name}`](norms/{name}.md)", _keys(cls)) for name, cls in _norms()))
    yield from chosen("optimizer", "optimizer", OPTIMIZERS)
    yield section("train", "train.", Train)
    yield section("train.eval_every, as a mapping", "train.eval_every.", Spaced, level=3)
    yield OF_SWEEP
    for word, kind in {**AXES, "edge": EdgeAxis}.items():
        yield section(f"An axis: {word}", "", kind, level=3)
    yield from chosen("probes", "", PROBES)
    yield section("claims", "", Claim)
    yield section("claims: expect", "expect.", Expect, level=3)
    yield section("claims: contrast", "contrast.", Contrast, level=3)
    yield from chosen("claims: measure", "measure", MEASURES)
    yield section("decide", "decide.", Decide)


def _norms() -> Iterator[tuple[str, type[BaseModel]]]:
    yield from NORMS.entries.items()


def _keys(cls: type[BaseModel]) -> str:
    return ", ".join(f"`{name}`" for name in cls.model_fields if name != "name") or "none"


def chosen(title: str, prefix: str, registry: Registry[Any]) -> Iterator[str]:
    """Yield what a section that chooses from a registry takes: the common keys, then those of each kind."""
    base, dotted = registry.base, f"{prefix}." if prefix else ""
    names = ", ".join(f"`{name}`" for name in registry)
    shared = [row for row in option_rows(base, dotted) if row[0] != f"`{dotted}name`"]
    common = f"Keys of every {registry.kind}:\n\n{table(HEADS, shared)}" if shared else ""
    yield f"## {title}\n\nThe `name` of a {registry.kind} is one of {names}.\n\n{common}"
    for name, cls in registry.entries.items():
        own = [
            field for field, info in cls.model_fields.items() if not _same(base.model_fields.get(field), info)
        ]
        rows = [row for row in option_rows(cls, dotted, own) if row[0] != f"`{dotted}name`"]
        text = " ".join(cls.summary().split())
        yield f"### {title}: {name}\n\n{_prose(text)}\n\n{table(HEADS, rows) if rows else ''}"


def _same(one: FieldInfo | None, other: FieldInfo) -> bool:
    """Return whether a kind has a key just as the base has it."""
    if one is None:
        return False
    return (one.annotation, one.default, one.description) == (
        other.annotation,
        other.default,
        other.description,
    )


def section(title: str, prefix: str, cls: type[BaseModel], text: str | None = None, level: int = 2) -> str:
    """Return a part of the page: a heading, what the class says of itself, the table of its keys.

    Args:
        title: of the part.
        prefix: what stands before each key, such as `train.`.
        cls: the class that reads the section.
        text: replaces the first line of the class's docstring.
        level: of the heading.

    Returns:
        The part as Markdown.
    """
    said = (inspect.getdoc(cls) or "").splitlines()[0] if text is None else text
    said = f"{_prose(said)}\n\n" if said else ""
    return f"{'#' * level} {title}\n\n{said}{table(HEADS, option_rows(cls, prefix))}"


def option_rows(
    cls: type[BaseModel], prefix: str = "", only: Iterable[str] | None = None
) -> list[tuple[str, ...]]:
    """Return a row for each key of a class and of the sections in it.

    Args:
        cls: the class that reads the section.
        prefix: what stands before each key.
        only: the keys to show; by default all.
    """
    properties = cls.model_json_schema(by_alias=True)
    definitions = properties.get("$defs", {})
    rows = []
    for name, field in cls.model_fields.items():
        if only is not None and name not in only:
            continue
        key = field.alias or name
        schema = properties.get("properties", {}).get(key, {})
        inner = () if registry_of(field) else section_classes(cls, name)
        takes = "one of the names below" if registry_of(field) else said(schema, definitions)
        if inner:
            takes = "a section"
        meaning = (
            field.description or (inspect.getdoc(inner[0]) or "").splitlines()[0]
            if inner
            else field.description
        )
        rows.append(
            (f"`{prefix}{key}`", takes, default(field), _cell(meaning or ""), example(cls, name, prefix))
        )
        if prefix:  # the page has an own part for each section of the whole file
            for part in inner:
                rows += option_rows(part, f"{prefix}{key}.")
    return rows


def said(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return in words what a JSON schema allows."""
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return (
            f"`{json.dumps(schema['const'])}`"
            if isinstance(schema["const"], bool)
            else f"`{schema['const']}`"
        )
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(said(one, definitions) for one in several))
    if "$ref" in schema:
        found = definitions[schema["$ref"].split("/")[-1]]
        return "a mapping" if found.get("type") == "object" else said(found, definitions)
    if "allOf" in schema:
        return said(schema["allOf"][0], definitions)
    kind = schema.get("type")
    if kind == "array":
        return f"a list of: {said(schema.get('items', {}), definitions)}"
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "null": "`null`",
        "object": "a mapping",
        None: "any value",
    }
    return " ".join(filter(None, [words[kind], bounds(schema)]))


def bounds(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a number: `from 0 to 1`, `above 0`."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    found = [
        f"from {low:g}" if low is not None else "",
        f"above {above:g}" if above is not None else "",
        f"to {high:g}" if high is not None else "",
        f"below {below:g}" if below is not None else "",
    ]
    return " ".join(filter(None, found))


def default(field: FieldInfo) -> str:
    """Return the default of a key as a config would write it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "not set"
    if isinstance(value, BaseModel):
        return f"`{name}`" if (name := getattr(value, "name", "")) else "its defaults"
    return f"`{flow(value)}`"


def example(cls: type[BaseModel], name: str, prefix: str) -> str:
    """Return a value of the key as a config writes it, one that the key accepts; empty for a section."""
    field = cls.model_fields[name]
    key = field.alias or name
    declared = [] if field.is_required() else [field.get_default(call_default_factory=True)]
    if section_classes(cls, name) and not registry_of(field):
        return ""
    accepts = TypeAdapter(field.rebuild_annotation())
    where = f"{cls.key()}." if issubclass(cls, Probe) and cls is not Probe else prefix
    smallest = _smallest(cls.model_json_schema()["properties"][key])
    for value in (*shipped().get(f"{where}{key}", ()), *(field.examples or ()), *declared, smallest):
        plain = (
            value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value
        )
        if plain is None or plain == []:
            continue
        try:
            accepts.validate_python(
                {"name": plain} if registry_of(field) and isinstance(plain, str) else plain
            )
        except ValidationError:
            continue
        if len(text := flow(plain)) <= LONGEST:
            return f"`{key}: {text}`"
    return ""


def _smallest(schema: Mapping[str, Any]) -> Any:
    """Return a small value that a JSON schema allows, if it is a word, a number or a list of them."""
    for one in schema.get("anyOf", (schema,)):
        if "enum" in one:
            return one["enum"][0]
        if one.get("type") == "integer":
            return max(1, one.get("minimum", one.get("exclusiveMinimum", 0) + 1))
        if one.get("type") == "number":
            return max(0.5, one.get("minimum", 0))
        if one.get("type") == "array":
            return [_smallest(one["items"])]
    return None


@functools.cache
def shipped() -> dict[str, list[Any]]:
    """Return the values that the recipes and the shipped configs give to each dotted key, in their order."""
    found: dict[str, list[Any]] = {}
    paths = (*sorted(ROOT.glob("normbench/recipes/*.yaml")), *sorted(ROOT.glob("configs/*.yaml")))
    for path in (*paths, *sorted(ROOT.glob("configs/claims/*.yaml"))):
        problems = Problems()
        plain = parse(path.read_text(encoding="utf-8"), Where(str(path)), problems).plain
        problems.raise_if_any()
        for key, value in values(plain):
            found.setdefault(key, []).append(value)
    return found


def values(plain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each dotted key of a config with its value, and each swept key with its first value."""
    for key, value in plain.items():
        yield key, value
        if key in (*SECTIONS, "decide"):
            yield from _below(value, f"{key}.")
        if key == "claims":
            for claim in value:
                yield from claim.items()
                yield from _below(claim.get("expect"), "expect.")
                yield from _below(claim.get("contrast"), "contrast.")
                yield from _below(claim.get("measure"), "measure.")
        if key == "sweep":
            blocks = (value, *value.get("zip", ()))
            for swept, axis in (item for block in blocks for item in block.items()):
                if isinstance(axis, list) and axis and swept not in ("zip", "include", "exclude"):
                    yield from _below({swept: axis[0]}, "")
                if isinstance(axis, dict):
                    yield from _below(axis, "")
                    yield from (
                        item for kind in axis.values() if isinstance(kind, dict) for item in kind.items()
                    )
        if key == "probes":
            for probe in (one for one in value if isinstance(one, dict)):
                yield from probe.items()
                yield from _below(probe, f"{probe.get('name')}.")


def _below(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{prefix}{key}", inner
            yield from _below(inner, f"{prefix}{key}.")


def flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _cell(text: str) -> str:
    """Return a description for a cell, with braces and stars that Markdown and templates leave alone."""
    return " ".join(text.split())


def _prose(text: str) -> str:
    """Return a sentence of a docstring, with a capital letter."""
    return f"{text[:1].upper()}{text[1:]}".replace("<", "\\<")


if __name__ == "__main__":
    main()
