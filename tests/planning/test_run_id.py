"""New ids hold a letter that no spreadsheet takes for an exponent; runs are found under their older ids."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers.launch import train

from normbench.config import load_config, parse_config
from normbench.errors import PlanError
from normbench.planning import plan
from normbench.planning.plan import make_plan
from normbench.planning.run_id import spelled
from normbench.records import ResultsFolder

ROOT = Path(__file__).parents[2]
CONFIG = """
name: tiny
seeds: [{seeds}]
data: {{name: digits, train_size: 60, test_size: 20, batch_size: 20}}
model: {{name: mlp, depth: 1, width: 4}}
train: {{steps: {steps}, eval_every: 10}}
"""


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "hashed", ["012345678901", "00001234e567", "1e2345678901", "12345678901e", "e12345678901"]
)
def test_a_hash_that_is_a_number_to_a_spreadsheet_gets_a_letter(hashed):
    assert spelled(hashed) == f"r{hashed}"
    assert not is_number(spelled(hashed))


@pytest.mark.parametrize("hashed", ["a12345678901", "1e23e5678901", "1234567890ab", "12345678901d"])
def test_others_stay(hashed):
    assert (spelled(hashed) == hashed) is (re.search("[abcdf]|e.*e", hashed) is not None)
    assert not is_number(spelled(hashed))


@pytest.fixture(scope="module")
def seed():
    """A seed whose run has an id with another spelling before."""
    found = parse_config(CONFIG.format(seeds=", ".join(map(str, range(1500))), steps=10))
    return next(run.seed for run in make_plan(found, device="cpu").runs if run.older)


def test_new_ids_of_a_large_sweep_are_no_numbers():
    plan = make_plan(load_config(ROOT / "configs" / "bn_larger_lr_mnist.yaml"), device="cpu")
    ids = [run.run_id for run in plan.runs]
    again = [run for run in plan.runs if run.older]
    assert not any(map(is_number, ids))
    assert 0 < len(again) < 0.03 * len(ids)
    assert [run.older for run in again] == [(run.run_id[1:],) for run in again]
    assert len(set(ids)) == len(ids)


def as_before(folder, run_id):
    """Give a run the id that version 0.2 would have given to it."""
    for path in (folder / "tiny").glob("*.csv"):
        path.write_text(path.read_text().replace(run_id, run_id[1:]))


def test_results_with_an_older_spelling_go_on_under_it(tmp_path, seed):
    config = CONFIG.format(seeds=f"{seed}, {seed + 1}", steps=10)
    train(tmp_path / "new", config)
    run = next(run for run in make_plan(parse_config(config), device="cpu").runs if run.older)
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    as_before(tmp_path / "old", run.run_id)
    for name, other in (("new", run.run_id), ("old", run.run_id[1:])):
        done = train(tmp_path / name, config)
        assert (done.trained, done.skipped) == (0, 2)
        assert f"\n{other}," in (tmp_path / name / "tiny" / "runs.csv").read_text()


def test_a_run_of_another_seed_stays_under_its_older_spelling(tmp_path, seed):
    config = CONFIG.format(seeds=f"{seed}, {seed + 1}", steps=10)
    train(tmp_path, config)
    run = next(run for run in make_plan(parse_config(config), device="cpu").runs if run.older)
    as_before(tmp_path, run.run_id)
    train(tmp_path, CONFIG.format(seeds=seed + 1, steps=10))
    assert run.run_id[1:] in ResultsFolder(tmp_path / "tiny").run_ids()
    done = train(tmp_path, config)
    assert (done.trained, done.skipped) == (0, 2)


def test_shipped_results_have_the_runs_of_their_configs():
    """Under the older spelling: nothing of them is trained again."""
    plan = make_plan(load_config(ROOT / "configs" / "bn_larger_lr_mnist.yaml"), device="cpu")
    there = ResultsFolder(ROOT / "results" / "bn_larger_lr_mnist").run_ids()
    known = {run.run_id for run in plan.with_older_ids(there).runs}
    assert there & {run_id for run in plan.runs for run_id in run.older}
    assert there <= known


def test_two_runs_with_one_id_by_chance_are_refused(monkeypatch):
    monkeypatch.setattr(plan, "digest", lambda text, length: "0123456789ab")
    with pytest.raises(PlanError, match="two different runs have the id 0123456789ab"):
        make_plan(parse_config(CONFIG.format(seeds="0, 1", steps=10)))
