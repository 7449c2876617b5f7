"""The division of a plan into shards: complete, without overlaps, balanced, and the same on every machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.engine import plan_of

from normbench.errors import NormbenchError
from normbench.planning.estimate import estimate
from normbench.planning.shards import Shard, part_of

SWEEP = {"model.depth": [1, 2, 3], "model.norm": ["none", "batchnorm"], "optimizer.lr": [0.01, 0.1, 1.0]}
EDGE = {
    "model.norm": ["none", "batchnorm", "layernorm"],
    "optimizer.lr": {"edge": {"from": 0.01, "to": 10, "precision": 1.5}},
}


@pytest.fixture(scope="module")
def plan():
    return plan_of(seeds=4, sweep=SWEEP)


@pytest.fixture(scope="module")
def search():
    return plan_of(seeds=3, sweep=EDGE)


def parts(plan, count):
    return [part_of(plan, Shard(index + 1, count)) for index in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 40])
def test_each_run_is_in_one_shard_and_no_stack_is_torn(plan, count):
    found = parts(plan, count)
    asked = [run_id for part in found for run_id in part.asked]
    assert len(asked) == len(set(asked)) == len(plan.runs)
    stacks = [stack for part in found for stack in part.stacks]
    assert sorted(stack.stack_id for stack in stacks) == sorted(stack.stack_id for stack in plan.stacks)
    for part in found:
        assert {run.run_id for stack in part.stacks for run in stack.runs} == part.asked
        assert part.runs == plan.runs  # the others are known, so that they are no orphans
        assert {run.run_id for run in part.of_asked().runs} == part.asked


def test_shards_cost_about_the_same(plan):
    costs = [sum(stack.seconds for stack in estimate(part).stacks) for part in parts(plan, 3)]
    assert max(costs) < 1.5 * min(costs)
    deep = plan_of(seeds=1, model={"width": 200}, sweep={"model.depth": [20, 1, 2, 3, 4]})
    sizes = [len(part.stacks) for part in parts(deep, 2)]
    assert sorted(sizes) == [1, 4]  # by cost, not by count


@pytest.mark.parametrize("name", ["plan", "search"])
def test_what_a_machine_has_and_how_it_trains_do_not_change_the_division(name, request):
    plan = request.getfixturevalue(name)
    expected = [part.asked for part in parts(plan, 3)]
    key = {stack.executor for stack in plan.stacks}
    assert key == {"vectorized"}
    for other in (
        replace(plan, memory=1.0),
        replace(plan, executor="looped"),
        replace(plan, executors=dict.fromkeys(("a", "b"), "eager")),
    ):
        assert [part.asked for part in parts(other, 3)] == expected


def test_a_stack_of_which_runs_are_left_is_not_joined_with_others(plan):
    part = parts(plan, 2)[0]
    left = {run.run_id for stack in part.stacks for run in stack.runs[1:]}
    stacks, _ = part.stacks_for(left)
    assert [[run.run_id for run in stack.runs] for stack in stacks] == [
        [run.run_id for run in stack.runs[1:]] for stack in part.stacks
    ]
    again, _ = part.stacks_for(left, executor="looped")
    assert {stack.executor for stack in again} == {"looped"}


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_a_search_is_in_one_shard(search, count):
    found = parts(search, count)
    asked = [run_id for part in found for run_id in part.asked]
    assert len(asked) == len(set(asked)) == len(search.runs)
    for one in search.searches:
        assert sum(set(one.ids) <= part.asked for part in found) == 1
    whole = {stack.stack_id for stack in search.stacks}
    divided = {stack.stack_id for part in found for stack in part.stacks}
    assert (whole == divided) == (count <= 3)  # three nets: with more shards, these are divided by seed
    assert all(part.asked for part in found)


def test_more_shards_than_stacks_leave_some_empty_which_is_said():
    found = parts(plan_of(sweep={"optimizer.lr": [0.1, 1.0]}), 3)
    assert [len(part.asked) for part in found] == [2, 0, 0]
    assert found[1].stacks == ()
    text = "shard 2 of 3 has nothing to train: the plan has 1 stack, which is never divided"
    assert found[1].notes[-1] == text
    assert found[0].notes == []


@pytest.mark.parametrize(
    "text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "1.0/3", "a/b", "1/10000", "²/3"]
)
def test_other_words_are_refused(text):
    with pytest.raises(NormbenchError, match=r"--shard: found '.*'; allowed: I/N"):
        Shard.parse(text)


def test_a_shard_has_a_folder_and_a_name():
    assert (Shard.parse(" 2/12 "), Shard(2, 12).folder, str(Shard(2, 12))) == (
        Shard(2, 12),
        "2-of-12",
        "shard 2 of 12",
    )
