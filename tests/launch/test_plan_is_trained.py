"""The stacks that `plan` shows are the stacks that `run` trains."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from helpers.launch import MLP, after, records, train

from normbench import api
from normbench.planning.memory import PROCESS_BYTES, stack_bytes

EDGE = MLP.replace("steps: 230", "steps: 40").replace(
    "[0.003, 0.03, 1.0e+30]", "{edge: {from: 0.01, to: 100, precision: 1.2}}"
)
PROBED = MLP.replace("steps: 230", "steps: 40") + "probes: [cost]\n"


def planned(folder, config):
    path = folder / "planned.yaml"
    path.write_text(config, encoding="utf-8")
    return api.plan(path, device="cpu")


def trained_stacks(folder):
    """The runs of each stack, by its id, as runs.csv tells."""
    with (folder / "tiny" / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stacks: dict[str, set[str]] = {}
    for row in rows:
        stacks.setdefault(row["stack"], set()).add(row["run_id"])
    return stacks


def stacks_of(plan, refining=False):
    return {
        stack.stack_id: {run.run_id for run in stack.runs}
        for stack in plan.stacks
        if refining or not stack.runs[0].refining
    }


@pytest.mark.parametrize(
    ("config", "stacks"),
    [(MLP, 2), (EDGE, 2), (PROBED, 4)],
    ids=["plain", "search", "probe of whole stacks"],
)
def test_a_fresh_run_trains_the_stacks_of_the_plan(tmp_path, config, stacks):
    plan = planned(tmp_path, config)
    done = train(tmp_path, config)
    assert done.plan.stacks == plan.stacks
    expected, found = stacks_of(plan), trained_stacks(tmp_path)
    assert len(expected) == stacks
    assert {stack_id: found.get(stack_id) for stack_id in expected} == expected
    refined = {run.run_id for run in plan.runs if run.refining}  # a search trains more, as its edges ask for
    assert all(found[stack_id] <= refined for stack_id in found.keys() - expected.keys())
    assert bool(refined) == (found.keys() > expected.keys())


def test_a_fresh_run_trains_the_stacks_that_memory_divides(tmp_path, monkeypatch):
    halves = [replace(stack, runs=stack.runs[:3]) for stack in planned(tmp_path, MLP).stacks]
    half = max(stack_bytes(stack, None) for stack in halves)
    monkeypatch.setattr(api, "free_memory", lambda device: PROCESS_BYTES + half)
    plan = planned(tmp_path, MLP)
    assert [len(stack.runs) for stack in plan.stacks] == [3, 3, 3, 3]
    train(tmp_path, MLP)
    assert trained_stacks(tmp_path) == stacks_of(plan)


def test_what_is_left_forms_stacks_by_the_same_rule(tmp_path):
    plan = planned(tmp_path, MLP)
    one_seed = MLP.replace("seeds: 2", "seeds: 1")
    train(tmp_path, one_seed)
    finished = {row["run_id"] for row in records(tmp_path)[1]}
    left = [run.run_id for run in plan.runs if run.run_id not in finished]
    assert len(left) == len(finished) == 6
    train(tmp_path, MLP)
    found = trained_stacks(tmp_path)
    for stack in (*planned(tmp_path, one_seed).stacks, *plan.stacks_for(left)[0]):
        assert found.pop(stack.stack_id) == {run.run_id for run in stack.runs}
    assert not found


def test_an_interrupted_stack_stays_as_the_plan_had_it(tmp_path):
    plan = planned(tmp_path, MLP)
    assert train(tmp_path, MLP, should_stop=after(4)).interrupted
    assert not train(tmp_path, MLP).interrupted
    assert trained_stacks(tmp_path) == stacks_of(plan)
