"""What a user probably meant: a key in another place or of another tool, a list outside of `sweep`, epochs.

The words of other tools are only offered. They are never accepted in place of the key.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from normbench.config.keys import Path, class_of, section_classes
from normbench.config.nodes import Node
from normbench.config.problems import Problems, shown
from normbench.config.schema import SECTIONS, Config, Header, Settings
from normbench.data import DataOptions, dataset_info
from normbench.errors import NormbenchError, did_you_mean, one_of

# These change how runs are judged or where their data lies, but no run: all their cells would be the same.
NOT_SWEPT = {"train.trains_below": "it judges runs and changes none", "data.root": "it changes no run"}
GENERATORS = ("linspace", "logspace", "range", "edge")

_HOMES_SHOWN = 3
_EPOCHS = re.compile(r"((n|num|max)_)?epochs?", re.IGNORECASE)
_MISSING_SPACE = re.compile(r"([A-Za-z_][\w.]*):(?![/\\])(\S.*)")
_NUMBERS = re.compile(r"[-+.\deE]+(\s*,\s*[-+.\deE]+)+")
_ELSEWHERE = {  # what other tools call an option, and its key here
    "learning_rate": "optimizer.lr",
    "learningrate": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "opt": "optimizer",
    "batch": "data.batch_size",
    "batchsize": "data.batch_size",
    "dataset": "data",
    "data_dir": "data.root",
    "arch": "model",
    "architecture": "model",
    "network": "model",
    "layers": "model.depth",
    "n_layers": "model.depth",
    "num_layers": "model.depth",
    "hidden": "model.width",
    "hidden_size": "model.width",
    "hidden_dim": "model.width",
    "units": "model.width",
    "normalization": "model.norm",
    "norm_layer": "model.norm",
    "iterations": "train.steps",
    "iters": "train.steps",
    "max_steps": "train.steps",
    "num_steps": "train.steps",
    "seed": "seeds",
    "num_seeds": "seeds",
    "grid": "sweep",
    "parameters": "sweep",
    "hyperparameters": "sweep",
}


def unknown_key(key: str, allowed: Sequence[str], at: str = "") -> str:
    """Return the text for a key that is not there.

    Args:
        key: as written.
        allowed: the keys that the section has.
        at: the dotted key, which other kinds of the section may have.
    """
    text = f"'{shown(key)[1:-1]}' is an unknown key; "
    if split := missing_space(key):
        return f"{text}a space is missing after the colon; write '{split}'"
    return text + meant(key, allowed, at) + (one_of(allowed) if allowed else "no key is allowed here")


def meant(key: str, allowed: Sequence[str], at: str = "") -> str:
    """Return `did you mean 'optimizer.lr'? `, or an empty string."""
    lower = key.lower().replace("-", "_")
    if lower in allowed:
        return f"did you mean '{lower}'? "
    found = homes(lower)
    if at in found:
        return ""
    if not found:
        near = did_you_mean(key, allowed)
        if near:
            return near
        leaves = {path[-1] for path in _options(Settings)} - {"name"}
        close = difflib.get_close_matches(lower, sorted(leaves), n=1, cutoff=0.8)
        found = homes(close[0]) if close else []
    return f"did you mean {_or(found)}? " if found else ""


def homes(key: str) -> list[str]:
    """Return where an option stands that has this name, here or in other tools, as dotted keys."""
    if key in _ELSEWHERE:
        return [_ELSEWHERE[key]]
    if key in Config.model_fields and key != "name":
        return [key]
    paths = {path: None for path in _options(Settings) if path[-1] == key and key != "name"}
    return [".".join(path) for path in sorted(paths, key=len)][:_HOMES_SHOWN]


def _options(cls: type[BaseModel], prefix: Path = ()) -> Iterator[Path]:
    """Yield the path of each option of any kind."""
    for field in cls.model_fields:
        yield (*prefix, field)
        for inner in section_classes(cls, field):
            yield from _options(inner, (*prefix, field))


def _or(keys: Sequence[str]) -> str:
    quoted = [f"'{key}'" + " at the top of the file" * (key in Header.model_fields) for key in keys]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def missing_space(text: object) -> str | None:
    """Return `seeds: 3` for `seeds:3`; None for any other text."""
    found = _MISSING_SPACE.fullmatch(text) if isinstance(text, str) else None
    return f"{found[1]}: {found[2]}" if found else None


def to_sweep(value: Any, path: Sequence[str | int], allowed: str = "") -> str:
    """Return the hint that several values of one option go under `sweep`, or an empty string.

    Args:
        value: what the config has.
        path: of the option.
        allowed: what may be there, in words; a place that takes a list gets no hint.
    """
    key = ".".join(map(str, path)).removesuffix(".name")
    if not path or path[0] not in SECTIONS or key == "train":
        return ""
    if key in NOT_SWEPT or "a list" in allowed or not all(isinstance(part, str) for part in path):
        return ""
    if isinstance(value, str) and "number" in allowed and _NUMBERS.fullmatch(value):
        return f"; lists go under `sweep`: `{key}: [{value}]`"
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in GENERATORS:
        return f"; generated values go under `sweep`: `{key}: {flow(value)}`"
    if isinstance(value, list) and value:
        return f"; lists go under `sweep`: `{key}: {flow(value)}`"
    return ""


def flow(value: Any) -> str:
    """Return a value as YAML on one line; a long list is cut."""
    if isinstance(value, list):
        more = ", ..." if len(value) > 8 else ""
        return f"[{', '.join(map(flow, value[:8]))}{more}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.-]*", value):
        return value
    return "null" if value is None else shown(value)


def keys_of(cls: type[BaseModel] | None) -> str:
    """Return the options of a section in words, or an empty string."""
    fields = cls.model_fields if cls is not None else {}
    names = [field.alias or name for name, field in fields.items()]
    return f" with the keys {', '.join(names)}" if names else ""


def means_epochs(key: str) -> bool:
    """Return whether a dotted key asks for a number of epochs."""
    return bool(_EPOCHS.fullmatch(key.split(".")[-1]))


def note_epochs(root: Node, problems: Problems) -> None:
    """Note each key that asks for epochs, with the number of steps that it stands for."""
    places = [("", root), *((name, root.get(name)) for name in (*SECTIONS, "sweep"))]
    for prefix, node in places:
        for key, value in (node.mapping if node else {}).items():
            if node and means_epochs(key):
                name = f"{prefix}.{key}" if prefix else key
                problems.add(node.key_where(key), name, epochs_text(key, value, root))


def epochs_text(key: str, value: Node, root: Node) -> str:
    """Return how many steps a number of epochs is.

    Args:
        key: that asks for them.
        value: the number, or a list.
        root: the config, whose data set and batch size tell the length of an epoch.
    """
    text = f"'{key}' is an unknown key; a config counts steps, not epochs; "
    data = root.get("data")
    cls = class_of(Settings, "data", data)
    try:
        options = cls.model_validate_json(json.dumps(data.plain)) if cls and data else None
        images = dataset_info(options).train if isinstance(options, DataOptions) else 0
    except (NormbenchError, OSError, ValueError):  # the data is not here, or wrong: others say so
        options, images = None, 0
    if not isinstance(options, DataOptions) or images < options.batch_size:
        return f"{text}write train.steps: epochs x (training images / data.batch_size, rounded down)"
    size = options.batch_size
    each = images // size
    numbers = [item.plain for item in (value.items or [value])]
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        return f"{text}an epoch of {options.name} at batch size {size} is {each:,} steps; write train.steps"
    steps = [max(1, round(number * each)) for number in numbers]
    asked, many = (", ".join(f"{number:,}" for number in row) for row in (numbers, steps))
    epochs = "epoch" if numbers == [1] else "epochs"
    written = flow(steps) if value.items else str(steps[0])
    return (
        f"{text}{asked} {epochs} of {options.name} at batch size {size} are {many} steps: "
        f"write `train.steps: {written}`"
    )


def of_other_tools(node: Node) -> str:
    """Return the mend for an axis in the syntax of another tool, or an empty string."""
    if isinstance(node.value, str) and "," in node.value:
        return f"write a list: [{node.value.strip('[]() ')}]"
    plain: Mapping[str, Any] = node.plain if isinstance(node.plain, dict) else {}
    if not plain:
        return "" if node.value is None else f"write a list: {flow([node.plain])}"
    for key in ("values", "choices", "choice", "grid_search", "grid", "options"):
        if isinstance(plain.get(key), list):
            return f"write the list alone: {flow(plain[key])}"
    if "value" in plain or "name" in plain:
        return f"write a list: {flow([plain.get('value', plain)])}"
    low, high = plain.get("min", plain.get("from")), plain.get("max", plain.get("to"))
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        if isinstance(low, int) and isinstance(high, int) and 0 < high - low <= 20:
            return f"write {{range: {{from: {low}, to: {high}}}}}"
        wide = 0 < 10 * low <= high
        kind = "logspace" if wide or ("log" in str(plain.get("distribution", "")) and low > 0) else "linspace"
        return f"write {{{kind}: {{from: {flow(low)}, to: {flow(high)}, num: 5}}}}, num for how many"
    return ""


# How other tools steer a sweep, and why a config here does without.
SWEEP_WORDS = {
    "method": "every sweep is the whole grid; leave it out",
    "metric": "claims say what is measured; leave it out",
    "parameters": "write the dotted keys right under sweep",
    "strategy": "every sweep is the whole grid; leave it out",
    "num_samples": "every sweep is the whole grid; leave it out",
    "early_terminate": "runs that diverge end by themselves; leave it out",
    "program": "the command names the config; leave it out",
}
