"""Plug-ins that register a figure, a probe or a measure alone; options that are lists or mappings."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from helpers.cli import call
from helpers.plugins import CONFIG, rows, sweep, write

from normbench import api, plugins
from normbench.errors import NormbenchError
from normbench.norms import NORMS

FIGURE = '''
from dataclasses import replace
from typing import Literal

from normbench.plots.figures import FIGURES
from normbench.plots.figures.gap import Gap


@FIGURES.add
class Mine(Gap):
    """The gap again."""

    name: Literal["my_gap"] = "my_gap"

    def compute(self, tables, request):
        return [replace(chart, stem="my_gap") for chart in super().compute(tables, request)]
'''
PROBE = '''
from typing import ClassVar, Literal

from normbench.probes import PROBES, Probe, Quantity


@PROBES.add
class Mine(Probe):
    """The number of the step's loss, doubled."""

    name: Literal["mine"] = "mine"
    quantities: ClassVar = (Quantity("mine.one", "one", "the number one"),)

    def measure(self, run):
        from torch import ones

        return {("net", "mine.one"): ones(())}
'''
MEASURE = '''
from typing import Literal

from normbench.measures import MEASURES, RunMeasure
from normbench.measures.base import known


@MEASURES.add
class Mine(RunMeasure):
    """The number one."""

    name: Literal["one"] = "one"

    def reading(self, sample):
        return known(1.0)
'''
CLAIM = """
claims:
  - id: same
    statement: One is one.
    measure: one
    of: {model.norm: batchnorm}
    against: {model.norm: none}
    expect: {equal_within: 0.1, scale: difference}
"""
BUILT_IN = CONFIG.replace("none, own", "none, batchnorm").replace("seeds: 2", "seeds: 3")


def command(name, *args):
    with plugins.unchanged():
        return call(name, *args)


def run(folder, text, *args):
    return command("run", sweep(folder, text), "--results", folder, "--device", "cpu", *args)


def test_a_figure_is_drawn_by_run_and_by_plot_that_names_its_file(tmp_path):
    path = write(tmp_path, fig=FIGURE)
    done = run(tmp_path, BUILT_IN, "--plugin", path)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "tiny" / "plots" / "my_gap.png").is_file()
    done = command("plot", tmp_path / "tiny", "--figure", "my_gap", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "'my_gap' is unknown" in done.stderr
    done = command(
        "plot", tmp_path / "tiny", "--figure", "my_gap", "--out", tmp_path / "out", "--plugin", path
    )
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "my_gap.png").is_file()


def test_a_figure_is_found_in_a_process_that_has_not_imported_the_figures(tmp_path):
    """Guards against a registry whose own entries count as those of the plug-in that imports it first."""
    path = write(tmp_path, fig=FIGURE)
    code = (
        "import sys; from normbench import plugins\n"
        f"assert 'normbench.plots.figures' not in sys.modules\nplugins.load_plugins([{str(path)!r}])\n"
        "print(plugins.loaded()[0].registers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout == "('figure: my_gap',)\n", done.stderr


def test_a_fault_after_a_figure_takes_it_back(tmp_path):
    from normbench.plots.figures import FIGURES

    before = list(FIGURES)
    with pytest.raises(NormbenchError, match="ZeroDivisionError"):
        plugins.load_plugins([write(tmp_path, fig=FIGURE + "\n1 / 0\n")])
    assert list(FIGURES) == before


@pytest.mark.parametrize("launcher", ["local", pytest.param("processes", marks=pytest.mark.thorough)])
def test_a_probe_is_measured(launcher, tmp_path):
    path = write(tmp_path, probe=PROBE)
    text = BUILT_IN + "probes: [mine]\n"
    command_line = ["run", sweep(tmp_path, text), "--results", tmp_path, "--device", "cpu", "--plugin", path]
    done = subprocess.run(
        [sys.executable, "-m", "normbench", *map(str, command_line), "--launcher", launcher, "--no-figures"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    layers = api.load(tmp_path / "tiny").layers
    assert set(layers["quantity"]) == {"mine.one"}
    assert set(layers["value"]) == {1.0}


def test_a_measure_is_judged_by_verify_that_names_its_file(tmp_path):
    path = write(tmp_path, measure=MEASURE)
    done = run(tmp_path, BUILT_IN + CLAIM, "--plugin", path)
    assert done.exit_code == 0, done.stderr
    done = command("verify", tmp_path / "tiny")
    assert done.exit_code == 2
    assert "claims.0.measure: Input tag 'one' found" in done.stderr
    done = command("verify", tmp_path / "tiny", "--plugin", path, "--json")
    assert done.exit_code == 0, done.stderr
    (verdict,) = json.loads(done.stdout)
    # three seeds that agree prove nothing, but the measure was read
    assert (verdict["verdict"], verdict["estimate"], verdict["n"]) == ("inconclusive", 0.0, 3)


LISTS = '''
from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class PNorm(Normalization):
    """A layer with a list and a mapping among its options."""

    name: Literal["pnorm"] = "pnorm"
    rates: list[float] = [0.1, 0.2]
    table: dict[str, list[int]] = {"a": [1]}

    def module(self, features):
        return Layer(features, sum(self.rates) + sum(self.table["a"]))


class Layer(nn.Module):
    def __init__(self, features, shift):
        super().__init__()
        self.shift = shift
        self.g = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.g * x / (x.square().mean(1, keepdim=True) + self.shift).sqrt()
'''


def test_options_that_are_lists_or_mappings_are_keys(tmp_path):
    plugins.load_plugins([write(tmp_path, lists=LISTS)])
    cls = NORMS["pnorm"]
    one, same, other = cls(), cls(rates=[0.1, 0.2]), cls(rates=[0.1])
    assert (hash(one), one) == (hash(same), same)
    assert len({one, same, other, cls(table={"a": [1, 2]})}) == 3


@pytest.mark.thorough
def test_a_sweep_over_lists_and_mappings_is_planned_trained_and_drawn(tmp_path):
    path = write(tmp_path, lists=LISTS)
    data = yaml.safe_load(BUILT_IN)
    data["model"]["norm"] = "pnorm"
    data["sweep"] = {
        "model.norm.rates": [[0.1, 0.2], [0.5], []],
        "model.norm.table": [{"a": [1]}, {"a": [1, 2]}],
        "optimizer.lr": [0.01, 0.1],
        "exclude": [{"model.norm.rates": [[]], "optimizer.lr": 0.01}],
    }
    data["claims"] = [
        {
            "id": "shift",
            "statement": "The shift matters little.",
            "measure": "final_accuracy",
            "of": {"model.norm.rates": "[0.5]"},
            "against": {"model.norm.rates": "[0.1, 0.2]"},
            "expect": {"difference_at_least": -1},
        }
    ]
    text = yaml.safe_dump(data)
    planned = json.loads(command("plan", sweep(tmp_path, text), "--plugin", path, "--json").stdout)
    assert len(planned[0]["cells"]) == 10
    done = run(tmp_path, text, "--plugin", path)
    assert done.exit_code == 0, done.stderr
    found = rows(tmp_path / "tiny")
    assert {row["model.norm.rates"] for row in found} == {"[0.1, 0.2]", "[0.5]", "[]"}
    assert {row["model.norm.table"] for row in found} == {"{a: [1]}", "{a: [1, 2]}"}
    assert len({row["run_id"] for row in found}) == len(found) == 30
    assert len({row["final_test_loss"] for row in found}) == 30
    for name in ("plot", "verify"):
        done = command(name, tmp_path / "tiny")
        assert done.exit_code == 0, done.stderr
    done = run(tmp_path, text, "--set", "seeds=4")  # with the kept file, by config.yaml as it was written
    assert "trained 10 runs" in done.stderr, done.stderr
