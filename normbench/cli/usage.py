"""What an unknown option or choice of the command line probably means, in the command's own words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

_OPTIONS = {  # of other tools, and what does it here
    "gpu": "--device cuda",
    "gpus": "--device cuda",
    "cuda": "--device cuda",
    "use-cuda": "--device cuda",
    "no-cuda": "--device cpu",
    "cpu": "--device cpu",
    "mps": "--device mps",
    "out": "--results DIR",
    "output": "--results DIR",
    "output-dir": "--results DIR",
    "num-workers": "--workers N",
    "jobs": "--workers N",
}
_DEVICES = ("gpu", "nvidia", "cuda:", "rocm", "0")


def explain(error: Any, words: Sequence[str]) -> None:
    """Add to a usage error what was probably meant.

    Args:
        error: of Typer's parser; its class has moved between versions, so that its attributes are asked.
        words: the command and its arguments.
    """
    option = getattr(error, "option_name", None)
    if option is not None and (mend := _unknown_option(str(option), words)):
        error.message = f"{error.message}; {mend}"
        error.possibilities = None
    elif getattr(getattr(error, "param", None), "name", None) == "device":
        error.message = error.message.removeprefix("Value error, ")
        value = _value_of("--device", words).lower()
        if value.startswith(_DEVICES):
            error.message += " A GPU of NVIDIA is '--device cuda' (choose one by CUDA_VISIBLE_DEVICES)."
        elif value.startswith(("metal", "apple", "m1", "m2", "m3")):
            error.message += " A GPU of Apple is '--device mps'."


def _unknown_option(option: str, words: Sequence[str]) -> str:
    """Return the mend for an option that the command does not have, or an empty string."""
    if not words or words[0] not in ("run", "plan"):
        return ""
    if not option.startswith("--"):  # `-lr` is read as `-l`
        option = next((word.partition("=")[0] for word in words if word.startswith(option)), option)
    name = option.lstrip("-")
    if name in _OPTIONS:
        return f"write {_OPTIONS[name]}"
    if name == "config":
        return f"the config needs no option: normbench {words[0]} {_value_of(option, words) or 'CONFIG'}"
    from normbench.config.hints import homes, means_epochs  # imports torch, which a right call may not need

    if means_epochs(name.replace("-", "_")):
        return "a config counts steps, not epochs: write --set train.steps=N"
    keys = [name] if "." in name else homes(name.lower().replace("-", "_"))
    value = _value_of(option, words) or "VALUE"
    calls = [f"--set {shlex.quote(f'{key}={value}')}" for key in keys]
    return f"write {' or '.join(calls)}" if calls else ""


def _value_of(option: str, words: Sequence[str]) -> str:
    """Return what follows an option; empty if nothing does."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option:
            after = words[place + 1] if place + 1 < len(words) else ""
            return value if equals else "" if after.startswith("--") else after
    return ""
