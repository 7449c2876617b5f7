"""Stacks that would take more memory than is free are divided before they train, and the plan shows it."""

from dataclasses import replace

from helpers.launch import Heard
from typer.testing import CliRunner

from normbench import api
from normbench.cli import app
from normbench.planning.memory import PROCESS_BYTES, free_memory, stack_bytes


def test_stacks_that_do_not_fit_into_memory_are_divided_and_the_plan_shows_it(tmp_path, monkeypatch):
    config = tmp_path / "tiny.yaml"
    config.write_text(
        "name: tiny\nseeds: 4\ndata: {name: digits, train_size: 100, test_size: 20, batch_size: 20}\n"
        "model: {name: mlp, depth: 1, width: 8}\ntrain: {steps: 30}\nsweep: {optimizer.lr: [0.01, 0.1]}\n"
    )
    monkeypatch.setattr(api, "free_memory", lambda device: 1e12)
    plenty = api.plan(config, device="cpu")
    (whole,) = plenty.stacks
    assert plenty.notes == []
    quarter = stack_bytes(replace(whole, runs=whole.runs[:2]), None)
    monkeypatch.setattr(api, "free_memory", lambda device: PROCESS_BYTES + 1.01 * quarter)
    small = api.plan(config, device="cpu")
    assert [run for stack in small.stacks for run in stack.runs] == list(whole.runs)
    assert [len(stack.runs) for stack in small.stacks] == [2, 2, 2, 2]
    (note,) = small.notes
    assert "1 stack of 8 runs would take about" in note
    assert "trained in 4 parts" in note
    assert note in CliRunner().invoke(app, ["plan", str(config), "--device", "cpu"]).stdout
    ids = [run.run_id for run in small.runs]
    assert len(small.stacks_for(ids, workers=2)[0]) == 8  # a single run that does not fit is left to fail

    heard = Heard()
    few = api.run(config, results=tmp_path / "few", device="cpu", threads=1, reporter=heard)
    assert note in heard.messages
    monkeypatch.setattr(api, "free_memory", lambda device: 1e12)
    many = api.run(config, results=tmp_path / "many", device="cpu", threads=1)
    assert (few.folder / "metrics.csv").read_bytes() == (many.folder / "metrics.csv").read_bytes()


def test_free_memory_is_told():
    assert free_memory("cpu") > 1e6
