"""Which stacks are compiled: long ones, where the machine can, with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.engine import plan_of

from normbench.errors import PlanError
from normbench.planning import compiling, plan
from normbench.planning.compiling import WORTH_MINUTES, with_compiled
from normbench.planning.estimate import estimate


@pytest.fixture(autouse=True)
def _compiler(monkeypatch):
    """Let this machine have a compiler."""
    for module in (compiling, plan):
        monkeypatch.setattr(module, "missing", lambda: None)


def of_steps(steps: int, **parts):
    return plan_of(train={"steps": steps, "eval_every": steps}, sweep={"optimizer.lr": [0.1, 0.2]}, **parts)


LONG = 3_000_000


def test_long_stacks_are_compiled_and_the_plan_says_so():
    before = of_steps(LONG)
    assert estimate(before).seconds > 60 * WORTH_MINUTES
    after = with_compiled(before)
    assert [stack.executor for stack in before.stacks] == ["vectorized"]
    assert [stack.executor for stack in after.stacks] == ["compiled"]
    assert after.compiling in after.notes
    assert after.compiling == "stacks of 1 of 1 kinds are compiled, since these take 15 minutes or more"


def test_short_stacks_are_not_and_the_reason_is_kept():
    after = with_compiled(of_steps(1000))
    assert [stack.executor for stack in after.stacks] == ["vectorized"]
    assert after.compiling == "no stack is compiled: no kind takes 15 minutes or more"
    assert after.notes == []


def test_nothing_is_compiled_without_a_compiler(monkeypatch):
    monkeypatch.setattr(compiling, "missing", lambda: "this machine has no C++ compiler (g++)")
    after = with_compiled(of_steps(LONG))
    assert [stack.executor for stack in after.stacks] == ["vectorized"]
    assert after.compiling == "no stack is compiled: this machine has no C++ compiler (g++)"


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_what_was_asked_for_stays(executor):
    assert with_compiled(of_steps(LONG, executor=executor)).stacks[0].executor == executor


def test_only_vectorized_stacks_on_a_cpu_are_compiled():
    images = of_steps(LONG, model={"name": "cnn", "depth": 2, "width": 8})
    assert with_compiled(images).stacks[0].executor == "looped"
    elsewhere = replace(of_steps(LONG), device="cuda")
    assert with_compiled(elsewhere) is elsewhere


def test_a_machine_that_cannot_compile_refuses_to(monkeypatch):
    assert of_steps(10, executor="compiled").stacks[0].executor == "compiled"
    monkeypatch.setattr(plan, "missing", lambda: "this machine has no C++ compiler (g++)")
    with pytest.raises(PlanError, match=r"--executor compiled: this machine has no .*--executor vectorized"):
        of_steps(10, executor="compiled")


def test_a_cluster_compiles_nothing_by_itself():
    after = with_compiled(of_steps(LONG), cluster=True)
    assert [stack.executor for stack in after.stacks] == ["vectorized"]
    assert after.notes == []
    assert after.compiling == "no stack is compiled: other nodes of the cluster may have no compiler"
    asked = of_steps(LONG, executor="compiled")
    assert with_compiled(asked, cluster=True) is asked


def test_the_estimate_counts_the_compilation_once_for_each_kind():
    parts = {"seeds": 2, "data": {"split_seed": "seed"}}  # a stack for each seed
    usual, slow = (estimate(of_steps(10, executor=name, **parts)) for name in ("vectorized", "compiled"))
    assert len(slow.stacks) == 2
    assert slow.seconds - usual.seconds == pytest.approx(20)
