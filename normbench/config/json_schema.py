"""The JSON schema of the file format, from which editors complete and check configs."""

from __future__ import annotations

from typing import Any

from normbench.config.keys import Path, kinds, section_classes
from normbench.config.schema import AXES, SECTIONS, Config, EdgeAxis, Settings
from normbench.registry import Options

_AXES: dict[str, type[Options]] = {**AXES, "edge": EdgeAxis}
_ANY_KEY = r"^(data|model|optimizer|train)(\.[A-Za-z0-9_]+)*$"


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a config: short forms of named sections and the sweep's grammar included."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    for definition in definitions.values():
        for name, field in definition.get("properties", {}).items():
            definition["properties"][name] = _short_form(field, definitions)
    for name in SECTIONS:
        schema["properties"][name] = _short_form(schema["properties"][name], definitions)
    probes = schema["properties"]["probes"]
    probes["items"] = _short_form(probes["items"], definitions)
    for kind in _AXES.values():
        axis = kind.model_json_schema()
        definitions[kind.__name__] = axis
    schema["properties"]["sweep"] = _sweep(definitions)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "normbench config"
    return schema


def _short_form(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field, with `section: x` allowed where `section: {name: x}` is."""
    branches = [branch["$ref"] for branch in field.get("oneOf", [field]) if "$ref" in branch]
    names: list[str] = []
    for reference in branches:
        name = definitions[reference.split("/")[-1]].get("properties", {}).get("name", {})
        names += [name["const"]] if "const" in name else name.get("enum", [])
    if not names:
        return field
    rest = {key: value for key, value in field.items() if key not in ("oneOf", "$ref", "discriminator")}
    objects = []
    for reference in branches:
        objects.append(
            {"$ref": reference, "required": ["name"]} if len(branches) > 1 else {"$ref": reference}
        )
    return {**rest, "anyOf": [{"enum": names, "description": "short for {name: ...}"}, *objects]}


def _dotted(cls: Any, prefix: Path = ()) -> dict[str, str]:
    """Return every dotted key below a class, of any kind, with its description."""
    keys: dict[str, str] = {}
    for name, field in cls.model_fields.items():
        path = (*prefix, name)
        inner = section_classes(cls, name)
        if name == "name" and prefix:
            continue
        if not inner or kinds(cls, name):
            keys[".".join(path)] = field.description or ""
        for section in inner:
            for key, text in _dotted(section, path).items():
                keys.setdefault(key, text)
    return keys


def _sweep(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `sweep`, and define the axis that its keys share."""
    definitions["Axis"] = {
        "title": "Axis",
        "description": "the values of a swept key: a list, linspace, logspace, range; edge for optimizer.lr",
        "anyOf": [
            {"type": "array", "minItems": 1},
            *(
                {
                    "type": "object",
                    "properties": {word: {"$ref": f"#/$defs/{kind.__name__}"}},
                    "required": [word],
                    "additionalProperties": False,
                }
                for word, kind in _AXES.items()
            ),
        ],
    }
    axis = {"$ref": "#/$defs/Axis"}
    dotted = _dotted(Settings)
    axes = {key: {**axis, "description": text} if text else axis for key, text in dotted.items()}
    values: dict[str, Any] = {key: {"description": text} if text else {} for key, text in dotted.items()}
    definitions["Axes"] = {
        "title": "Axes",
        "description": "dotted keys with their values; they move together",
        "type": "object",
        "properties": axes,
        "patternProperties": {_ANY_KEY: axis},
        "additionalProperties": False,
        "minProperties": 1,
    }
    definitions["Cells"] = {
        "title": "Cells",
        "description": "dotted keys, each with a value or a list of values",
        "type": "object",
        "properties": values,
        "patternProperties": {_ANY_KEY: {}},
        "additionalProperties": False,
        "minProperties": 1,
    }

    def blocks(name: str, text: str) -> dict[str, Any]:
        return {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{name}"}, "description": text}

    return {
        "title": "Sweep",
        "description": "every combination of the values of these keys; the first varies slowest",
        "type": "object",
        "properties": {
            **axes,
            "zip": blocks("Axes", "blocks of axes that move together"),
            "exclude": blocks("Cells", "cells left out"),
            "include": blocks("Cells", "cells added"),
        },
        "patternProperties": {_ANY_KEY: axis},
        "additionalProperties": False,
        "minProperties": 1,
    }
