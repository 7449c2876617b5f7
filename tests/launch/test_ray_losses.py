"""Which stacks are given up when workers and nodes are lost; on a cluster that is played in this process."""

from __future__ import annotations

import csv
from collections import Counter

import pytest
from helpers.launch import SPLIT, Heard, after, records, sessions, train

pytest.importorskip("ray", reason="needs normbench[ray]")

from helpers.fake_ray import FakeRay, runs_of  # it imports ray

from normbench.errors import NormbenchError
from normbench.launch.ray_worker import Software

CONFIG = """
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 75, eval_every: 25}
sweep:
  model.norm: [none, batchnorm, layernorm, rmsnorm]
  optimizer.lr: [0.03, 1.0e+30]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder, CONFIG)
    return folder


def on_ray(folder, config=CONFIG, **options):
    heard = Heard()
    return train(folder, config, launcher="ray", reporter=heard, **options), heard.messages


def others(folder, norm):
    """Return the records of the runs without this normalization."""
    with (folder / "tiny" / "metrics.csv").open(encoding="utf-8") as file:
        metrics = [line for line in file if line.split(",")[0] not in ids(folder, norm)]
    return metrics, [row for row in records(folder, SPLIT)[1] if row["model.norm"] != norm]


def ids(folder, norm):
    with (folder / "tiny" / "runs.csv").open(encoding="utf-8") as file:
        return {row["run_id"] for row in csv.DictReader(file) if row["model.norm"] == norm}


def never(stack):
    return None


@pytest.mark.parametrize(("nodes", "slots", "workers"), [(1, 1, None), (2, 2, None), (2, 2, 1)])
def test_without_losses_the_records_are_those_of_one_process(
    nodes, slots, workers, whole, tmp_path, monkeypatch
):
    cluster = FakeRay(nodes, slots, never)
    cluster.install(monkeypatch)
    done, _ = on_ray(tmp_path, workers=workers)
    assert (done.trained, done.crashed, done.interrupted) == (16, 0, False)
    assert records(tmp_path) == records(whole)
    assert not cluster.actors, "workers are left behind"
    assert sessions(tmp_path)[0]["processors"] == {"a processor": 4}


def test_a_stack_that_kills_its_node_three_times_has_crashed_and_no_other(whole, tmp_path, monkeypatch):
    cluster = FakeRay(2, 4, lambda stack: "node" if runs_of(stack, ["batchnorm"]) else None)
    cluster.install(monkeypatch)
    done, said = on_ray(tmp_path)
    assert (done.trained, done.crashed) == (12, 4)
    assert len(cluster.deaths) == 3
    assert len(cluster.deaths[-1][1]) == 1, "the last time it was not alone on its node"
    assert others(tmp_path, "batchnorm") == others(whole, "batchnorm")
    crashed = [row for row in records(tmp_path)[1] if row["model.norm"] == "batchnorm"]
    assert {(row["status"], row["steps"]) for row in crashed} == {("crashed", "0")}
    (last,) = [text for text in said if "crashed" in text]
    assert "4 runs crashed: its node was lost 3 times without a checkpoint in between" in last
    reasons = [path.read_text() for path in (tmp_path / "tiny" / "crashes").iterdir()]
    assert len(reasons) == 4
    assert all("its node was lost 3 times" in text for text in reasons)
    again, _ = on_ray(tmp_path)
    assert (again.trained, again.crashed) == (0, 4)
    FakeRay(1, 1, never).install(monkeypatch)
    assert on_ray(tmp_path, retry={"crashed"})[0].trained == 4
    assert records(tmp_path) == records(whole)


def test_two_stacks_that_kill_nodes_do_not_take_others_along(whole, tmp_path, monkeypatch):
    """Guards against blame for the deeds of a neighbor: all stacks share one node at first."""
    deadly = ["batchnorm", "rmsnorm"]
    cluster = FakeRay(1, 4, lambda stack: "node" if runs_of(stack, deadly) else None)
    cluster.install(monkeypatch)
    done, _ = on_ray(tmp_path)
    assert (done.trained, done.crashed) == (8, 8)
    rows = records(tmp_path)[1]
    assert {row["model.norm"] for row in rows if row["status"] == "crashed"} == set(deadly)
    good = [row for row in records(whole)[1] if row["model.norm"] not in deadly]
    assert [row for row in rows if row["model.norm"] not in deadly] == good


def test_a_stack_that_loses_only_its_worker_is_halved_until_the_run_at_fault_is_alone(
    whole, tmp_path, monkeypatch
):
    def kills(stack):
        ill = runs_of(stack, ["batchnorm"]) and any(
            run.seed == 1 and run.settings.optimizer.lr < 1 for run in stack.runs
        )
        return "worker" if ill else None

    cluster = FakeRay(2, 2, kills)
    cluster.install(monkeypatch)
    done, said = on_ray(tmp_path)
    assert (done.trained, done.crashed) == (15, 1)
    assert {what for what, _ in cluster.deaths} == {"worker"}
    assert len(cluster.deaths) == 9  # a stack of four, of two, of one
    (crash,) = [row for row in records(tmp_path)[1] if row["status"] == "crashed"]
    assert (crash["model.norm"], crash["seed"], crash["optimizer.lr"]) == ("batchnorm", "1", "0.03")
    assert any("its worker was lost 3 times" in text for text in said)


def test_losses_with_a_checkpoint_in_between_do_not_add_up(tmp_path, monkeypatch):
    longer = CONFIG.replace("steps: 75", "steps: 150").replace("batchnorm, layernorm, rmsnorm", "batchnorm")
    train(tmp_path / "whole", longer)
    told = Counter()

    def kills(stack):
        told[stack.stack_id] += 1
        return "node" if told[stack.stack_id] % 4 == 0 else None

    cluster = FakeRay(2, 1, kills)
    cluster.install(monkeypatch)
    done, said = on_ray(tmp_path / "ray", longer, checkpoint_every=0)
    assert len(cluster.deaths) >= 2 * 4
    assert (done.trained, done.crashed) == (8, 0)
    assert any("continues at step" in text for text in said)
    assert records(tmp_path / "ray") == records(tmp_path / "whole")
    assert not (tmp_path / "ray" / "tiny" / "checkpoints").exists()


def test_a_stop_loses_no_step_and_leaves_no_worker(whole, tmp_path, monkeypatch):
    cluster = FakeRay(2, 1, never)
    cluster.install(monkeypatch)
    stopped, _ = on_ray(tmp_path, should_stop=after(3))
    assert stopped.interrupted
    assert not cluster.actors
    done, said = on_ray(tmp_path)
    assert not done.interrupted
    assert any("continues at step" in text for text in said)
    assert records(tmp_path) == records(whole)
    made = [sum(one["run_steps"] for one in sessions(folder)) for folder in (tmp_path, whole)]
    assert made[0] == made[1]


def test_runs_that_ended_before_their_stack_was_given_up_keep_their_results(tmp_path, monkeypatch):
    """The rate 1e30 diverges in the first chunk; only then the node is lost."""
    told = Counter()

    def kills(stack):
        told[stack.stack_id] += 1
        return "node" if runs_of(stack, ["none"]) and told[stack.stack_id] % 3 == 0 else None

    FakeRay(1, 4, kills).install(monkeypatch)
    done, _ = on_ray(tmp_path)
    rows = [row for row in records(tmp_path)[1] if row["model.norm"] == "none"]
    assert Counter(row["status"] for row in rows) == {"diverged": 2, "crashed": 2}
    assert (done.trained, done.crashed) == (14, 2)


def test_software_that_differs_is_named():
    here = Software.here()
    assert here.differences(here) == ""
    other = Software("9.9", "0" * 12, "1.0", here.numpy, here.python)
    text = here.differences(other)
    assert "normbench 9.9 instead of" in text
    assert "the files of normbench 000000000000 instead of" in text
    assert "torch 1.0 instead of" in text
    assert "numpy" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpus_per_stack": 0}, "--cpus-per-stack: found 0; allowed"),
        ({"gpus_per_stack": 1.5}, "--gpus-per-stack: found 1.5; allowed"),
        ({"gpus_per_stack": 0.5}, "--gpus-per-stack: the plan trains on the CPU"),
        ({"address": "ray://head:10001"}, "--address: found 'ray://head:10001'; .*--address auto"),
    ],
)
def test_shares_that_do_not_suit_are_refused_before_anything_is_written(options, said, tmp_path):
    with pytest.raises(NormbenchError, match=said):
        on_ray(tmp_path, **options)
    assert not (tmp_path / "tiny").exists()
