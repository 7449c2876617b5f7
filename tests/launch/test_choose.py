"""Launcher, workers and threads follow from the plan and the number of cores."""

from __future__ import annotations

import subprocess
import sys

import pytest

from normbench.config import parse_config
from normbench.errors import NormbenchError
from normbench.launch import choose
from normbench.launch.choose import Cores, Wanted, choose_cores, choose_launcher
from normbench.planning.plan import make_plan


def plan_of(stacks: int, steps: int, probes: str = "[]"):
    norms = ["none", "batchnorm", "layernorm", "selu"][:stacks]
    config = f"""
name: tiny
seeds: 1
data: {{name: digits}}
model: {{name: mlp, width: 256}}
train: {{steps: {steps}}}
probes: {probes}
sweep: {{model.norm: [{", ".join(norms)}]}}
"""
    plan = make_plan(parse_config(config), device="cpu")
    assert len(plan.stacks) == stacks
    return plan


@pytest.mark.parametrize(
    ("cores", "stacks", "steps", "chosen"),
    [
        (2, 4, 10**7, Cores(2, 1)),
        (4, 4, 10**7, Cores(2, 2)),
        (2, 4, 10, Cores(None, None)),  # finished before workers have started
        (2, 3, 10**7, Cores(None, None)),  # too few stacks to balance
        (1, 4, 10**7, Cores(None, None)),
    ],
)
def test_auto_takes_workers_for_long_plans_of_many_stacks(cores, stacks, steps, chosen, monkeypatch):
    monkeypatch.setattr(choose, "available_cores", lambda: cores)
    assert choose_cores(plan_of(stacks, steps), "auto", None, None) == chosen


def test_nothing_runs_beside_a_probe_that_measures_time(monkeypatch):
    monkeypatch.setattr(choose, "available_cores", lambda: 2)
    assert choose_cores(plan_of(4, 10**7, "[cost]"), "auto", None, None) == Cores(None, None)
    assert choose_cores(plan_of(4, 10**7, "[weights]"), "auto", None, None) == Cores(2, 1)


@pytest.mark.parametrize(
    ("launcher", "workers", "threads", "chosen"),
    [
        ("auto", None, 2, Cores(None, 2)),
        ("auto", 3, None, Cores(3, 2)),
        ("local", None, None, Cores(None, None)),
        ("local", None, 3, Cores(None, 3)),
        ("processes", None, None, Cores(4, 2)),  # never more workers than stacks
        ("processes", None, 4, Cores(2, 4)),
        ("processes", 16, None, Cores(16, 1)),
    ],
)
def test_an_explicit_choice_is_used(launcher, workers, threads, chosen, monkeypatch):
    monkeypatch.setattr(choose, "available_cores", lambda: 8)
    assert choose_cores(plan_of(4, 10), launcher, workers, threads) == chosen


@pytest.mark.parametrize(
    ("launcher", "workers", "said"),
    [("procesess", None, "did you mean 'processes'"), ("local", 2, "--launcher processes")],
)
def test_an_impossible_choice_is_refused(launcher, workers, said):
    with pytest.raises(NormbenchError, match=said):
        choose_cores(plan_of(1, 10), launcher, workers, None)


@pytest.mark.parametrize("launcher", ["auto", "local", "processes"])
@pytest.mark.parametrize("option", ["address", "cpus_per_stack", "gpus_per_stack"])
def test_what_a_cluster_shares_out_needs_a_cluster(launcher, option):
    said = f"--{option.replace('_', '-')}: goes with --launcher ray"
    with pytest.raises(NormbenchError, match=said):
        choose_launcher(plan_of(1, 10), Wanted(launcher, **{option: 1}))


def test_without_ray_its_launcher_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "normbench.launch.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it could not be found
    with pytest.raises(NormbenchError, match=r"--launcher ray: .*pip install 'normbench\[ray\]'"):
        choose_launcher(plan_of(1, 10), Wanted("ray"))


def test_ray_is_imported_only_for_its_launcher():
    code = "import sys, normbench, normbench.cli, normbench.launch.session; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "False\n", done.stderr
