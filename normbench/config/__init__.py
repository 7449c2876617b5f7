"""The config: a YAML file that is read with its positions, validated, and resolved into cells."""

from __future__ import annotations

from normbench.config.cells import Cell
from normbench.config.experiment import (
    Experiment,
    cells_of,
    config_name,
    dump_config,
    load_config,
    parse_config,
)
from normbench.config.json_schema import json_schema
from normbench.config.schema import SECTIONS, Config, Settings, Train
from normbench.measures.claim import Claim

__all__ = [
    "SECTIONS",
    "Cell",
    "Claim",
    "Config",
    "Experiment",
    "Settings",
    "Train",
    "cells_of",
    "config_name",
    "dump_config",
    "json_schema",
    "load_config",
    "parse_config",
]
