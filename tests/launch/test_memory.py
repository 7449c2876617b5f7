"""Stacks that would take more memory than there is are divided before they train, and the plan says so."""

from dataclasses import replace

from helpers.launch import Heard

from normbench import api
from normbench.cli.show_plan import plan_answer
from normbench.planning.estimate import PROCESS_BYTES, free_memory, preview


def test_stacks_that_do_not_fit_into_memory_are_divided_and_the_plan_says_so(tmp_path, monkeypatch):
    config = tmp_path / "tiny.yaml"
    config.write_text(
        "name: tiny\nseeds: 4\ndata: {name: digits, train_size: 100, test_size: 20, batch_size: 20}\n"
        "model: {name: mlp, depth: 1, width: 8}\ntrain: {steps: 30}\nsweep: {optimizer.lr: [0.01, 0.1]}\n"
    )
    found = api.plan(config, device="cpu")
    (whole,) = found.stacks
    costs = preview(found)
    assert costs.fit(found.stacks) == ([whole], [])
    quarter = costs._stack(replace(whole, runs=whole.runs[:2])).memory_bytes
    monkeypatch.setattr(
        "normbench.planning.estimate.free_memory", lambda device: PROCESS_BYTES + 1.01 * quarter
    )
    fitting, (note,) = preview(found).fit(found.stacks)
    assert [run for stack in fitting for run in stack.runs] == list(whole.runs)
    assert [len(stack.runs) for stack in fitting] == [2, 2, 2, 2]
    assert "1 stack of 8 runs would take about" in note
    assert "trained in 4 parts" in note
    assert len(preview(found).fit(found.stacks, workers=2)[0]) == 8  # one by one, and left to fail
    assert plan_answer(preview(found))["notes"] == [note]

    heard = Heard()
    small = api.run(config, results=tmp_path / "small", device="cpu", threads=1, reporter=heard)
    assert note in heard.messages
    monkeypatch.undo()
    large = api.run(config, results=tmp_path / "large", device="cpu", threads=1)
    assert (small.folder / "metrics.csv").read_bytes() == (large.folder / "metrics.csv").read_bytes()


def test_the_free_memory_is_told():
    assert free_memory("cpu") > 1e6
