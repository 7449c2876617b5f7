"""What probes declare: exactly what they measure, with a label; figures, claims, plan and lists read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.engine import runs_of
from helpers.probes import measured, probe

from normbench.cli.commands.list import Kind, entries
from normbench.config import parse_config
from normbench.errors import ConfigError
from normbench.names import NET
from normbench.planning.estimate import estimate
from normbench.planning.plan import make_plan
from normbench.plots.probed import aggregate_of, named
from normbench.probes import PROBES, quantity

DECLARED = [one for cls in PROBES.classes() for one in cls.quantities]
OPTIONS = {"activations": {"bins": 3}}  # options without which a quantity is not measured
CONFIG = """
name: t
seeds: 3
data: {name: digits, train_size: 300, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 2, width: 16}
train: {steps: 100, eval_every: 50}
sweep: {model.norm: [none, batchnorm]}
"""


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_measures_exactly_what_it_declares(name):
    found = set()
    for norm in ("batchnorm", "weightnorm"):  # only the second has v and g
        if name == "variance_shift" and norm == "weightnorm":
            continue  # no layer of this net has a normalization of its inputs
        model = {"depth": 2, "width": 6, "norm": norm, "bias": True}
        rows, *_ = measured(
            runs_of(seeds=2, model=model, train={"steps": 1, "eval_every": 1}),
            probe(name, steps=[0], **OPTIONS.get(name, {})),
        )
        found |= {key for values in rows.values() for key in values}
    declared = PROBES[name].quantities
    assert {quantity(what) for _, what in found} == set(declared)
    for layer, what in found:
        assert quantity(what).has(layer), (layer, what)
    for one in declared:
        owners = {layer == NET for layer, what in found if one.covers(what)}
        assert owners == {"layer": {False}, "net": {True}, "layer and net": {False, True}}[one.of]


def test_every_quantity_has_a_name_and_a_label_of_its_own():
    for name in PROBES:
        for one in PROBES[name].quantities:
            assert one.name.startswith(f"{name}.")
            assert one.label
            assert one.definition
    assert len({one.name for one in DECLARED}) == len(DECLARED)
    assert len({one.text() for one in DECLARED}) == len(DECLARED)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("ics.norm", "ics.norm"),
        ("activations.density@-0.75", "activations.density@"),
        ("activations.density@1e-05", "activations.density@"),
        ("activations.density@", None),
        ("activations.density@c", None),
        ("activations.density", None),
        ("ics.norm@1", None),
        ("ics", None),
        ("mine.norm", None),
    ],
)
def test_a_quantity_is_found_by_its_name(name, declared):
    found = quantity(name)
    assert (found and found.name) == declared


def test_figures_call_a_quantity_by_its_label():
    assert named("forgetting.rise") == "rise of the loss (nats)"
    assert named("activations.density@-0.5") == "density of the outputs at -0.5 (share)"
    assert named("mine.number") == "mine.number"
    assert [aggregate_of(name) for name in ("weights.norm", "ics.norm", "mine.number")] == [
        "last",
        "mean",
        "mean",
    ]


def test_figures_of_metrics_alone_need_no_torch():
    code = "import sys, normbench.plots, normbench.plots.probed; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_list_gives_the_quantities_with_label_and_unit():
    rows = {row["name"]: row["quantities"] for row in entries(Kind.probes)}
    assert rows["forgetting"] == [
        {"name": "forgetting.rise", "label": "rise of the loss", "unit": "nats", "of": "layer"}
    ]
    assert rows["perturbation"][0]["unit"] is None
    assert "activations.density@c" in [one["name"] for one in rows["activations"]]


def test_a_plan_names_what_is_measured():
    config = CONFIG + "probes: [perturbation, {name: activations, bins: %d}]\n"
    with_bins, without = (estimate(make_plan(parse_config(config % bins))).probes for bins in (3, 0))
    assert with_bins[0].quantities == ("perturbation.growth",)
    assert set(with_bins[1].quantities) - set(without[1].quantities) == {"activations.density@c"}


@pytest.mark.parametrize(
    ("probe", "measure", "message"),
    [
        ("ics", "quantity: ics.nrm", "quantity: 'ics.nrm' is unknown; did you mean 'ics.norm'?"),
        (
            "ics",
            "quantity: ics.norm, layer: net",
            "layer: 'net' has no 'ics.norm', which is a number of each layer",
        ),
        (
            "sharpness",
            "quantity: sharpness.largest, layer: hidden.0",
            "layer: 'hidden.0' has no 'sharpness.largest', which is a number of the whole net",
        ),
        (
            "ics",
            "quantity: ics.norm, layer: classifier, relative_to: net",
            "relative_to: 'net' has no 'ics.norm'",
        ),
        ("gradient_noise", "quantity: gradient_noise.norm, layer: net", None),
        ("activations", "quantity: activations.density@0.5", None),
        ("activations", "quantity: activations.density@x", "quantity: 'activations.density@x' is unknown"),
    ],
)
def test_a_claim_names_a_declared_quantity(probe, measure, message):
    claim = (
        f"{CONFIG}probes: [{probe}]\nclaims:\n- id: a\n  statement: s\n  of: {{model.norm: batchnorm}}\n"
        f"  against: {{model.norm: none}}\n  measure: {{name: probe, probe: {probe}, {measure}, step: 0}}\n"
        "  expect: {difference_at_least: 0}\n"
    )
    if message is None:
        assert len(parse_config(claim).claims) == 1
        return
    with pytest.raises(ConfigError) as error:
        parse_config(claim)
    assert message in str(error.value)


def test_the_docs_have_every_definition():
    text = (Path(__file__).parents[2] / "docs/probes.md").read_text(encoding="utf-8")
    for one in DECLARED:
        assert "|" not in one.definition, f"{one.name}: '|' would end the cell of the table"
        row = f"| `{one.listed}` | {one.of} | {one.definition} |"
        assert row in text, f"docs/probes.md lacks this row:\n{row}"
