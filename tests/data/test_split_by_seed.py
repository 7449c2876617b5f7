"""`data.split_seed: seed`: each seed chooses its own images, alone, in stacks, and through the commands."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
import yaml
from helpers.engine import Trained, plan_of, train_plainly

from normbench import api
from normbench.config import parse_config
from normbench.data import Digits, load
from normbench.errors import ConfigError, DataError
from normbench.planning.runs import RunSpec

DATA = {"train_size": 100, "val_size": 30, "test_size": 50, "batch_size": 20, "label_noise": 0.1}
CONFIG = {
    "name": "x",
    "seeds": 2,
    "data": {"name": "digits", **DATA},
    "model": {"name": "mlp", "depth": 2, "width": 8, "norm": "batchnorm"},
    "train": {"steps": 6, "eval_every": 3, "dtype": "float64"},
    "sweep": {"optimizer.lr": [0.1, 0.2]},
}


def trained(folder, name, seeds, split_seed, **options):
    """Train a sweep through `api.run` and return its rows of metrics by (seed, rate, step), and its runs."""
    config = {**CONFIG, "name": name, "seeds": seeds, "data": {**CONFIG["data"], "split_seed": split_seed}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    done = api.run(folder / f"{name}.yaml", results=folder, device="cpu", threads=1, **options)
    tables = api.load(done.folder)
    keys = tables.runs[["seed", "optimizer.lr"]]
    return tables.metrics.join(keys, on="run").drop(columns=["run", "run_id"], errors="ignore"), tables.runs


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_a_seed_trains_as_with_this_number_as_its_split_seed(tmp_path, executor):
    """Equal for each seed to a config that names the number, and so to the plain loop that holds that one."""
    every, runs = trained(tmp_path, "every", [0, 3], "seed", executor=executor)
    assert runs.groupby("seed")["stack"].nunique().tolist() == [1, 1]
    assert runs["stack"].nunique() == 2
    for seed in (0, 3):
        alone, _ = trained(tmp_path, f"alone{seed}", [seed], seed, executor=executor)
        mine = every[every["seed"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone.reset_index(drop=True), check_exact=True)
    shared, _ = trained(tmp_path, "shared", [0, 3], 0, executor=executor)
    other = shared["seed"] == 3
    assert (every.loc[other, "test_loss"] != shared.loc[other, "test_loss"]).all()
    pd.testing.assert_frame_equal(every[~other], shared[~other], rtol=1e-9)


def test_the_loss_of_a_seed_is_that_of_a_plain_loop_over_its_images():
    (run,) = plan_of(seeds=[3], data={**DATA, "split_seed": 3}, train=CONFIG["train"]).runs
    train, test, _ = train_plainly(RunSpec(run.run_id, 3, run.settings, {}))
    rows = Trained([run]).rows[run.run_id]
    assert sum(train[:3]) / 3 == pytest.approx(rows[1].train_loss, rel=1e-9)
    assert test[-1] == pytest.approx(rows[-1].test_loss, rel=1e-9)


def test_seeds_differ_in_images_and_noisy_labels():
    options = Digits(**{**DATA, "split_seed": "seed"})
    one, two = load(options.for_seed(0)), load(options.for_seed(1))
    for part in ("train", "val", "test"):
        assert not torch.equal(getattr(one, part).y, getattr(two, part).y)
    assert load(Digits(**DATA, split_seed=1)) is two
    assert Digits(**DATA, split_seed=1).for_seed(7).split_seed == 1


def test_no_data_set_is_made_of_the_word():
    with pytest.raises(DataError, match=r"options\.for_seed\(0\)"):
        load(Digits(**{**DATA, "split_seed": "seed"}))


def test_run_ids_of_numbers_stay_and_each_kind_is_a_run_of_its_own():
    def ids(**data):
        return {run.run_id for run in plan_of(seeds=2, data={**DATA, **data}, train=CONFIG["train"]).runs}

    assert ids() == ids(split_seed=0)
    assert len(ids() | ids(split_seed=1) | ids(split_seed="seed")) == 6


@pytest.mark.parametrize("wrong", ["seeds", -1, 1.5, True, None, [1]])
def test_other_values_are_refused_with_what_is_allowed(wrong):
    text = yaml.safe_dump({**CONFIG, "data": {**CONFIG["data"], "split_seed": wrong}})
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("config:")
    assert f"data.split_seed: found {json.dumps(wrong)}; allowed: a number from 0 on, or seed" in line
