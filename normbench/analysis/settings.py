"""All settings of each run, those that the sweep leaves as they are included, under their dotted keys.

runs.csv has the swept keys alone. The cells of config.yaml are built again, as the training had them, and
each run finds its cell by its swept values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from normbench.analysis.lacking import token
from normbench.records.config_file import read_config

if TYPE_CHECKING:
    import pandas as pd

Value = Union[str, int, float]
Flat = dict[str, Value]


def settings_of(runs: pd.DataFrame, swept: Sequence[str], folder: Path) -> tuple[list[Flat], list[str]]:
    """Return the settings of each run, and notes on what config.yaml does not tell.

    Args:
        runs: rows of runs.csv.
        swept: the swept keys.
        folder: with config.yaml.

    Returns:
        For each run its settings by dotted key. The name of a section stands under the section's key
        (`model.norm`), truth values are `true` and `false`, as in runs.csv, lists are JSON; options without a
        value are left out. If the cell of a run cannot be built, its swept keys alone are known; a note says
        so.
    """
    import pandas as pd

    from normbench.config import cells_of  # lazily: it imports torch

    path = folder / "config.yaml"
    config = read_config(path)
    cells, problems = cells_of(config, str(path)) if config else ([], ["it is not there"])
    known = {
        token(cell.values.get(key) for key in swept): flat(cell.settings.model_dump(mode="json"))
        for cell in cells
    }
    found, unknown = [], 0
    for row in runs[list(swept)].itertuples(index=False, name=None):
        settings = known.get(token(row))
        unknown += settings is None
        own = {key: value for key, value in zip(swept, row, strict=True) if not pd.isna(value)}
        found.append({**(settings or {}), **own})
    if not unknown:
        return found, []
    why = f" ({problems[0]})" if problems else ""
    return found, [
        f"{path}: does not give the settings of {unknown:,} of {len(runs):,} runs{why}; of these, only the "
        "swept keys are known; a plug-in that they use can be named with --plugin"
    ]


def flat(section: Mapping[str, Any], above: str = "") -> Flat:
    """Return nested settings by dotted key; the name of a section stands under the section's own key."""
    found: Flat = {}
    for key, value in section.items():
        dotted = f"{above}.{key}" if above else key
        if isinstance(value, Mapping):
            found |= flat(value, dotted)
        elif value is not None:
            found[above if key == "name" and above else dotted] = _scalar(value)
    return found


def _scalar(value: Any) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, (str, int, float)) else json.dumps(value)
