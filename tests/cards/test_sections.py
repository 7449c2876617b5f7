"""The sections: valid readings, and a ladder on which nothing is trained twice."""

import itertools

import pytest
import yaml

from normbench.cards.sections import SECTIONS, Rung, config_of, rungs
from normbench.cards.setups import SETUPS
from normbench.config import parse_config
from normbench.measures.claim import Claim
from normbench.planning.plan import make_plan

READINGS = [(section, reading) for section in SECTIONS.values() for reading in section.readings]


@pytest.mark.parametrize(("section", "reading"), READINGS, ids=lambda one: one.name)
@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_readings_are_measures_that_can_be_compared_so(setup, section, reading):
    expect = {"ratio": "ratio_at_least", "difference": "difference_at_least"}[reading.by]
    claim = Claim.model_validate(
        {
            **{"id": "x", "statement": "x", "measure": reading.measured(setup)},
            **{"of": {"model.norm": "none"}, "against": {"value": 1.0}, "expect": {expect: 1.0}},
        }
    )
    assert reading.by in claim.measure.compares
    assert claim.measure.problem(section.probes) is None
    assert reading.unit != "share" or claim.measure.is_share


def test_names_are_unique():
    assert len({(section.name, reading.name) for section, reading in READINGS}) == len(READINGS)


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_each_rung_only_adds_to_its_section(setup):
    by_section = {}
    for rung in rungs(setup):
        assert isinstance(rung, Rung)
        by_section.setdefault(rung.section, []).append(rung.size)
    assert set(by_section) == set(SECTIONS)
    for name, sizes in by_section.items():
        standard = SECTIONS[name].standard(setup)
        assert SECTIONS[name].key == "" or all(standard in size.values for size in sizes)
        for one, more in itertools.pairwise(sizes):
            assert one.seeds <= more.seeds
            assert set(one.values) <= set(more.values)
            assert one.precision >= more.precision
            assert one != more


@pytest.mark.parametrize("name", SECTIONS)
def test_a_larger_size_has_the_runs_of_the_smaller_ones(name):
    setup = SETUPS["digits"]
    before = set()
    for rung in rungs(setup):
        if rung.section == name:
            config = config_of(SECTIONS[name], setup, ["none"], rung.size)
            plan = make_plan(parse_config(yaml.safe_dump(config, sort_keys=False), name), device="cpu")
            ids = {run.run_id for run in plan.runs}
            assert before < ids
            before = ids


def test_what_cannot_be_trained_is_excluded():
    section, setup = SECTIONS["batches"], SETUPS["digits"]
    size = next(rung.size for rung in rungs(setup) if rung.section == "batches")
    config = config_of(section, setup, ["batchnorm", "none"], size, [("batchnorm", 1)])
    cells = parse_config(yaml.safe_dump(config, sort_keys=False)).cells
    found = {(cell.settings.model.norm.name, cell.settings.data.batch_size) for cell in cells}
    assert ("batchnorm", 1) not in found
    assert {("none", 1), ("batchnorm", 8)} <= found
