"""`run --extend`: the bits of a training that was never divided, or a sentence that says why it cannot."""

from __future__ import annotations

import csv

import pytest
from helpers.cli import call
from helpers.launch import SPLIT, Heard, after, records

from normbench import api
from normbench.errors import NormbenchError
from normbench.launch.final_states import states_in
from normbench.records.ancestry import read_ancestry

CONFIG = {
    "name": "tiny",
    "seeds": 2,
    "data": {"name": "digits", "train_size": 400, "test_size": 60, "batch_size": 20},
    "model": {"name": "mlp", "depth": 2, "width": 8, "dropout": {"rate": 0.1, "placement": "input"}},
    "optimizer": {"name": "adam", "schedule": {"name": "constant", "warmup": 5}},
    "train": {"steps": 45, "eval_every": 20, "eval_size": 40},
    "sweep": {"model.norm": ["none", "batchnorm"], "optimizer.lr": [0.003, 0.03, 1e30]},
}
LONGER = "train.steps=130"
NAME = "tiny_130_steps"


def run(folder, config=CONFIG, overrides=(), **options):
    return api.run(config, overrides, results=folder, device="cpu", threads=1, **options)


def rows(folder):
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        return [{key: cell for key, cell in row.items() if key not in SPLIT} for row in csv.DictReader(file)]


def same(one, other):
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    assert rows(one) == rows(other)
    assert (one / "config.yaml").read_bytes() == (other / "config.yaml").read_bytes()


@pytest.fixture
def one_go(tmp_path):
    run(tmp_path / "one_go", overrides=[LONGER, f"name={NAME}"])
    return tmp_path / "one_go" / NAME


def test_an_extended_training_has_the_bits_of_one_go(tmp_path, one_go):
    run(tmp_path, keep_states=True)
    before = records(tmp_path)
    heard = Heard()
    finished = run(tmp_path, extend=LONGER, reporter=heard)
    same(finished.folder, one_go)
    assert finished.folder == tmp_path / NAME
    assert f"going on from step 45 of {tmp_path / 'tiny'}: 8 runs" in heard.messages
    assert sum("continues at step 45 of 130" in text for text in heard.messages) == 2
    assert "4 runs have no state there, such as diverged ones, and start at step 0" in heard.messages
    assert records(tmp_path) == before
    found = read_ancestry(finished.folder)
    assert len(found) == 8
    short = {one.run_id for one in api.plan(CONFIG, device="cpu").runs}
    assert {(one.from_step, one.from_results) for one in found} == {(45, "tiny")}
    assert {one.from_run_id for one in found} < short
    again = run(tmp_path, extend=LONGER)
    assert (again.trained, again.skipped) == (0, 12)


def test_it_can_be_stopped_and_extended_again(tmp_path, one_go):
    run(tmp_path, overrides=["train.steps=25"], keep_states=True)
    stopped = run(
        tmp_path, CONFIG, ["train.steps=25"], extend="train.steps=60", should_stop=after(1), keep_states=True
    )
    assert stopped.interrupted
    middle = run(tmp_path, CONFIG, ["train.steps=25"], extend="train.steps=60", keep_states=True)
    assert middle.folder.name == "tiny_60_steps"
    assert len(states_in(middle.folder)) == 2
    last = run(tmp_path, middle.folder / "config.yaml", extend=LONGER)
    same(last.folder, one_go)
    assert {one.from_results for one in read_ancestry(last.folder)} == {"tiny_60_steps"}


@pytest.mark.thorough
def test_workers_tell_the_states_too(tmp_path, one_go):
    run(tmp_path, CONFIG, keep_states=True, launcher="processes", workers=1)
    same(run(tmp_path, extend=LONGER, launcher="processes", workers=1).folder, one_go)


def test_the_training_that_keeps_its_states_is_as_without(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", keep_states=True)
    assert records(tmp_path / "a") == records(tmp_path / "b")
    assert not (tmp_path / "a" / "tiny" / "states").exists()


def test_more_seeds_are_added_to_an_extended_experiment(tmp_path):
    config = {**CONFIG, "sweep": {"model.norm": ["none"]}}
    run(tmp_path, config, keep_states=True)
    run(tmp_path, config, extend=LONGER)
    run(tmp_path, config, ["seeds=3"], keep_states=True)
    finished = run(tmp_path, config, ["seeds=3"], extend=LONGER)
    assert (finished.trained, finished.skipped) == (1, 2)
    assert len(read_ancestry(finished.folder)) == 3


@pytest.mark.parametrize(
    ("overrides", "extend", "why"),
    [
        (
            ["optimizer.schedule=cosine"],
            LONGER,
            r"optimizer\.schedule is cosine, whose rate depends on the numb",
        ),
        (["optimizer.schedule=linear"], LONGER, r"optimizer\.schedule is linear"),
        ([], "train.steps=45", "its runs have 45 steps; give more"),
        ([], "train.steps=48", "would begin before step 45, .* give at least 49"),
        (["train.eval_every={log: 5}"], LONGER, r"train\.eval_every gives other evaluations before step 45"),
        (["probes=[weights]"], LONGER, "tiny has probes, whose steps follow from train.steps"),
        (["sweep.train.steps=[45, 50]"], LONGER, "tiny sweeps train.steps; add the longer ones to its sweep"),
        ([], "optimizer.lr=3", r"--extend: found 'optimizer\.lr=3'; allowed: train\.steps=NUMBER"),
        ([], LONGER, r"has no states of these runs; states are kept by `normbench run --keep-states`"),
    ],
)
def test_what_cannot_go_on_says_why_and_writes_nothing(tmp_path, overrides, extend, why):
    with pytest.raises(NormbenchError, match=why):
        run(tmp_path, CONFIG, overrides, extend=extend)
    assert not list(tmp_path.iterdir())


def test_a_step_schedule_goes_on_since_its_steps_are_fixed(tmp_path):
    schedule = {"name": "step", "milestones": [10, 60]}
    config = {**CONFIG, "optimizer": {"name": "sgd", "schedule": schedule}, "sweep": {"model.norm": ["none"]}}
    run(tmp_path, config, keep_states=True)
    finished = run(tmp_path, config, extend=LONGER)
    run(tmp_path / "one_go", config, [LONGER, f"name={NAME}"])
    same(finished.folder, tmp_path / "one_go" / NAME)


def test_a_damaged_state_is_not_used(tmp_path):
    config = {**CONFIG, "sweep": {"model.norm": ["none"]}}
    run(tmp_path, config, keep_states=True)
    (path,) = states_in(tmp_path / "tiny")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(NormbenchError, match="it is damaged, or has another format than this version reads"):
        run(tmp_path, config, extend=LONGER)


def test_shards_and_seeds_by_need_are_refused(tmp_path):
    with pytest.raises(
        NormbenchError, match=r"^--extend: goes on with the config's own seeds and all its runs"
    ):
        run(tmp_path, extend=LONGER, shard="1/2")


def test_the_command_has_both_options(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "name: tiny\nseeds: 1\ndata: {name: digits, train_size: 100, batch_size: 20}\n"
        "model: {name: mlp, depth: 1, width: 4}\ntrain: {steps: 10, eval_every: 5}\n",
        encoding="utf-8",
    )
    first = call("run", path, "--results", tmp_path, "--no-figures", "--keep-states")
    assert first.exit_code == 0, first.stderr
    second = call("run", path, "--results", tmp_path, "--no-figures", "--extend", "train.steps=20")
    assert second.exit_code == 0, second.stderr
    assert "going on from step 10 of " in second.stderr
    assert ": 1 run\n" in second.stderr
    assert (tmp_path / "tiny_20_steps" / "ancestry.csv").is_file()
