"""docs/config.md has every key of a config, with an example that a config may have."""

from __future__ import annotations

import re

import pytest
from helpers.docs_script import DOCS, docs_script
from pydantic import TypeAdapter

from normbench.config.json_schema import json_schema
from normbench.data import DATASETS
from normbench.measures import MEASURES
from normbench.models import MODELS
from normbench.norms import NORMS
from normbench.optimizers import OPTIMIZERS
from normbench.probes import PROBES

REGISTRIES = [DATASETS, MODELS, NORMS, OPTIMIZERS, PROBES, MEASURES]
PAGE = (DOCS / "config.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    with docs_script("config_page") as module:
        yield module


def test_every_key_that_can_be_swept_is_on_the_page():
    swept = json_schema()["$defs"]["Axes"]["properties"]
    missing = [key for key in swept if f"| `{key}` |" not in PAGE and not key.startswith("model.norm.")]
    assert len(swept) > 50
    assert missing == []


def test_every_key_of_the_whole_file_is_on_the_page():
    assert [key for key in json_schema()["properties"] if f"\n| `{key}` |" not in PAGE] == []


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: one.kind)
def test_every_name_is_on_the_page(registry):
    assert [name for name in registry if f"`{name}`" not in PAGE] == []


def test_examples_are_what_a_config_writes(script):
    import yaml

    cells = re.findall(r"^\| `[^`]+` \|.*\| `([^`]+)` \|$", PAGE, re.M)
    assert len(cells) > 100
    for cell in cells:
        assert len(yaml.safe_load(cell)) == 1, cell
    for registry in REGISTRIES:
        for cls in registry.classes():
            for name, field in cls.model_fields.items():
                cell = script.example(cls, name, "")
                value = next(iter(yaml.safe_load(cell.strip("`")).values())) if cell else None
                if cell and not isinstance(value, str):  # a word can be the short form of a section
                    TypeAdapter(field.rebuild_annotation()).validate_python(value)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "whole number from 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number above 0 to 1"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"const": True, "type": "boolean"}, "`true`"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number or `null`"),
        ({"type": "array", "items": {"type": "string"}}, "a list of: text"),
    ],
)
def test_what_a_key_takes_is_said_in_words(script, schema, words):
    assert script.said(schema, {}) == words
