"""A plug-in that decides keys of the config is grouped, drawn and judged as a built-in normalization."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from normbench import api, plots, plugins
from normbench.analysis.judge import judge_all
from normbench.analysis.tables import load_tables
from normbench.analysis.variants import spread
from normbench.analysis.verify import verify
from normbench.norms import NORMS
from normbench.records.schema import DECIDED, INFERENCE

PLUGIN = '''
from typing import Literal
from normbench.norms import NORMS
from normbench.norms.selu import Selu
from normbench.norms.weightnorm import WeightNorm


@NORMS.add
class OwnWeightNorm(WeightNorm):
    """Weight normalization under another name: it has no layer, so it has no position."""

    name: Literal["own_weightnorm"] = "own_weightnorm"


@NORMS.add
class OwnSELU(Selu):
    """SELU under another name: it decides the activation."""

    name: Literal["own_selu"] = "own_selu"
'''
POSITIONS = ["before_activation", "after_activation"]
BUILT_IN, OWN = ("weightnorm", "selu"), ("own_weightnorm", "own_selu")


def config(norms):
    weightnorm, selu = norms
    return {
        "name": "x",
        "seeds": 3,
        "data": {"name": "digits", "train_size": 200, "test_size": 60, "batch_size": 20},
        "model": {"name": "mlp", "depth": 1, "width": 8},
        "train": {"steps": 40, "eval_every": 20},
        "sweep": {
            "model.norm": ["batchnorm", weightnorm, selu],
            "model.norm_position": POSITIONS,
            "model.activation": ["relu", "tanh"],
            "optimizer.lr": [0.03, 0.3],
        },
        "claims": [
            {
                "id": f"C-{place}",
                "statement": "It is more accurate.",
                "measure": "final_accuracy",
                "of": {"model.norm": norm},
                "against": {"model.norm": "batchnorm"},
                "for_each": ["model.norm_position", "model.activation"],
                "expect": {"difference_at_least": 0},
            }
            for place, norm in enumerate(norms)
        ],
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same sweep with the built-in normalizations and with their copies."""
    place = tmp_path_factory.mktemp("own")
    (place / "own.py").write_text(PLUGIN, encoding="utf-8")
    with plugins.unchanged():
        found = []
        for norms in (BUILT_IN, OWN):
            path = place / f"{norms[0]}.yaml"
            path.write_text(yaml.safe_dump(config(norms)), encoding="utf-8")
            results = place / norms[0]
            found.append(api.run(path, results=results, device="cpu", plugins=[place / "own.py"]).folder)
        yield tuple(found)


def renamed(frame):
    return frame.replace(dict(zip(OWN, BUILT_IN, strict=True)))


def test_cells_that_the_plugin_decides_are_merged_and_recorded(folders):
    runs = load_tables(folders[1]).runs
    decided = runs.groupby("model.norm")["decided"].agg(set)
    assert decided["batchnorm"] == {"none"}
    assert decided["own_weightnorm"] == {"model.norm_position"}
    assert decided["own_selu"] == {"model.activation model.norm_position"}
    # 2 positions x 2 activations, 1 x 2 and 1 x 1, each with 2 rates and 3 seeds
    assert runs["model.norm"].value_counts().to_dict() == {
        "batchnorm": 24,
        "own_weightnorm": 12,
        "own_selu": 6,
    }


def test_it_is_grouped_as_the_built_in(folders):
    tables = [load_tables(folder) for folder in folders]
    (built_in, said), (own, said_too) = (spread(one.runs, one.swept) for one in tables)
    columns = ["model.norm", *tables[0].swept[1:], "seed", "final_test_accuracy", "outcome"]
    pd.testing.assert_frame_equal(renamed(own[columns]), built_in[columns])
    assert [text.replace("own_", "") for text in said_too] == said
    assert len(own) == 2 * 2 * 3 * 2 * 3  # every normalization in every panel


def test_it_is_judged_as_the_built_in(folders):
    built_in, own = (judge_all(load_tables(folder)) for folder in folders)
    assert len(own) == len(built_in) == 2 * 2 * 2
    for one, other in zip(own, built_in, strict=True):
        assert (one.id, one.verdict, one.n, dict(one.at)) == (
            other.id,
            other.verdict,
            other.n,
            dict(other.at),
        )
        assert (one.estimate, one.ci_low, one.ci_high) == (other.estimate, other.ci_low, other.ci_high)
        assert one.n == 3


def test_it_is_drawn_as_the_built_in(folders):
    drawn = []
    for folder in folders:
        (figure,) = dict(plots.draw(load_tables(folder), ["rate"])).values()
        lines = [line.get_xydata() for ax in figure.axes for line in ax.get_lines()]
        words = [text.get_text() for text in (*figure.texts, *(ax.title for ax in figure.axes))]
        labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        drawn.append((lines, [text.replace("own_", "") for text in [*words, *labels]]))
    (lines, words), (own_lines, own_words) = drawn
    assert own_words == words
    assert len(own_lines) == len(lines)
    for own, line in zip(own_lines, lines, strict=True):
        np.testing.assert_array_equal(own, line)


def without_column(folder, place):
    """Return a copy of a results folder as version 0.1 wrote it."""
    old = place / "x"
    old.mkdir()
    for name in ("config.yaml", "metrics.csv", "runs.csv"):
        (old / name).write_bytes((folder / name).read_bytes())
    runs = pd.read_csv(old / "runs.csv", dtype=str, keep_default_na=False)
    late = [column.name for column in (*DECIDED, *INFERENCE)]
    runs.drop(columns=late).to_csv(old / "runs.csv", index=False)
    return old


def test_records_of_version_0_1_do_not_have_the_column_and_read_the_same(folders, tmp_path):
    """The registry answers for built-in normalizations whose records do not say what they decide."""
    tables = load_tables(without_column(folders[0], tmp_path))
    expected = load_tables(folders[0]).runs["decided"]
    assert [set(keys.split()) for keys in tables.runs["decided"]] == [set(keys.split()) for keys in expected]
    assert not tables.notes


REQUIRED = """
from typing import Literal
from normbench.norms import NORMS
from normbench.norms.selu import Selu


@NORMS.add
class OwnSELU(Selu):
    \"\"\"SELU under another name, with an option that must be given.\"\"\"

    name: Literal["own_selu"] = "own_selu"
    needed: float
"""


@pytest.mark.parametrize("registered", [False, True], ids=["not registered", "an option without a default"])
def test_what_nothing_tells_of_version_0_1_is_said(registered, folders, tmp_path):
    """Guards against a variant that is grouped on a guess, or a traceback in its place."""
    old = without_column(folders[1], tmp_path)
    with plugins.unchanged():
        for name in OWN:
            NORMS.entries.pop(name)
        if registered:
            (tmp_path / "own.py").write_text(REQUIRED, encoding="utf-8")
            plugins.load_plugins([tmp_path / "own.py"])
        tables = load_tables(old)
        (figure,) = dict(plots.draw(tables, ["rate"])).values()
        verified = verify(old, write=False)
    assert set(tables.runs["decided"]) == {"none"}
    (note,) = tables.notes
    assert "own_selu, own_weightnorm" in note
    assert any(note in " ".join(text.get_text().split()) for text in figure.texts)
    assert f"{old / 'runs.csv'}: {note}" in verified.missing
