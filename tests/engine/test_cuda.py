"""On a CUDA device a run is what it is on the CPU. Skipped where torch finds no such device."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from helpers.cli import config_file, good
from helpers.engine import CNN, MLP, Trained, norm_of, runs_of, takes

from normbench.data import load
from normbench.engine.loop import StackTrainer
from normbench.planning.stacks import stack_key

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


class OnCuda(Trained):
    """The same trainings, with data and nets on the CUDA device."""

    def __init__(self, runs, executor="vectorized"):
        def trainer(runs, executor):
            settings = runs[0].settings
            dtype = getattr(torch, settings.train.dtype)
            dataset = load(settings.data, dtype=dtype, device="cuda")
            return StackTrainer(runs, dataset, executor, stack_key(settings))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("helpers.engine.trainer", trainer)
            super().__init__(runs, executor)


def some_runs(model, rates=(0.05, 0.1), steps=20, dtype="float64", seeds=2):
    train = {"steps": steps, "eval_every": 10, "dtype": dtype}
    return runs_of(seeds=seeds, model=model, train=train, sweep={"optimizer.lr": list(rates)})


def check_close(one, other, run_id, within):
    for mine, its in zip(one.rows[run_id], other.rows[run_id], strict=True):
        assert mine.train_loss == pytest.approx(its.train_loss, rel=within, nan_ok=True)
        assert mine.test_loss == pytest.approx(its.test_loss, rel=within)
    mine, its = one.tensors[run_id], other.tensors[run_id]
    assert mine.keys() == its.keys()
    for key, value in mine.items():
        torch.testing.assert_close(value.cpu(), its[key].cpu(), rtol=within, atol=within)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
@pytest.mark.parametrize("net", [MLP, CNN], ids=["mlp", "cnn"])
@pytest.mark.parametrize("norm", takes(MLP))
def test_cuda_equals_the_cpu_in_float64(norm, net, executor):
    if norm not in takes(net):
        pytest.skip(f"{norm} refuses this net")
    runs = some_runs({**net, "norm": norm_of(norm)})
    ours, cpu = OnCuda(runs, executor), Trained(runs, executor)
    for run in runs:
        check_close(ours, cpu, run.run_id, 1e-8)


@pytest.mark.parametrize("name", ["lstm", "rnn", "highway"])
def test_other_nets_equal_the_cpu_in_float64(name):
    model = {"name": name, "width": 8, "norm": "layernorm"}
    runs = some_runs(model, steps=10)
    ours, cpu = OnCuda(runs), Trained(runs)
    for run in runs:
        check_close(ours, cpu, run.run_id, 1e-8)


@pytest.mark.parametrize("net", [MLP, CNN], ids=["mlp", "cnn"])
def test_a_run_alone_is_close_to_the_run_in_a_stack(net):
    runs = some_runs({**net, "norm": "batchnorm"}, rates=(0.02, 0.05, 0.1))
    everyone = OnCuda(runs)
    for run in runs[:2]:
        check_close(OnCuda([run]), everyone, run.run_id, 1e-9)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_the_same_twice_gives_equal_bits(executor):
    dropout = {"rate": 0.2, "placement": "after_norm"}
    runs = some_runs({"norm": "batchnorm", "dropout": dropout}, dtype="float32")
    first, second = OnCuda(runs, executor), OnCuda(runs, executor)
    assert all(first.same_bits(second, run.run_id) for run in runs)


def test_the_commands_train_on_cuda(tmp_path):
    config = config_file(tmp_path)
    good("run", config, "--results", tmp_path / "gpu", "--device", "cuda")
    good("run", config, "--results", tmp_path / "cpu", "--device", "cpu")
    good("plot", tmp_path / "gpu")
    keys = ["run_id", "step"]
    gpu, cpu = (
        pd.read_csv(tmp_path / place / "tiny" / "metrics.csv").set_index(keys).sort_index()
        for place in ("gpu", "cpu")
    )
    assert gpu.index.equals(cpu.index)
    assert (gpu["test_loss"] - cpu["test_loss"]).abs().max() < 1e-3
