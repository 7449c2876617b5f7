"""Whatever is measured, the training does not notice; and what is measured is there, NaN and all."""

from __future__ import annotations

import math
import time

import pytest
from helpers.engine import runs_of, trainer
from helpers.probes import measured, probe, small

from normbench.engine.checkpoint import dump_state, load_state
from normbench.engine.events import Layers
from normbench.probes import PROBES

EXECUTORS = ["vectorized", "looped"]
NORMED = {"depth": 2, "width": 8, "norm": "batchnorm"}


def without_time(ends):
    return [
        (end.run_id, end.status, end.steps, end.diverged_at_step, end.train_loss_last_tenth) for end in ends
    ]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", PROBES)
def test_metrics_are_the_same_with_and_without(name, executor):
    def runs():
        return runs_of(
            seeds=2,
            model={**NORMED, "dropout": {"rate": 0.2, "placement": "after_activation"}},
            optimizer={"momentum": 0.9, "lr": 0.05},
            train={"steps": 30, "eval_every": 10},
        )

    rows, metrics, ends = measured(runs(), probe(name, steps=[0, 3, 10, 30]), executor=executor)
    _, plain_metrics, plain_ends = measured(runs(), executor=executor)
    assert repr(metrics) == repr(plain_metrics)
    assert without_time(ends) == without_time(plain_ends)
    assert {step for _, step in rows} == {0, 3, 10, 30}
    for values in rows.values():
        assert values
        for (layer, quantity), value in values.items():
            assert layer
            assert quantity.startswith(f"{name}.")
            assert isinstance(value, float)


@pytest.mark.parametrize("name", [name for name in PROBES if name != "cost"])
def test_both_executors_measure_the_same(name):
    runs = small(model={"norm": "batchnorm"}, optimizer={"name": "adam", "lr": 0.01})
    one, *_ = measured(runs, probe(name), executor="vectorized")
    other, *_ = measured(runs, probe(name), executor="looped")
    assert one.keys() == other.keys()
    for key, values in one.items():
        assert values.keys() == other[key].keys()
        assert list(values.values()) == pytest.approx(list(other[key].values()), rel=1e-6, abs=1e-9)


def test_the_values_of_a_run_depend_on_the_stack_only_by_rounding():
    runs = small(sweep={"optimizer.lr": [0.1, 0.2, 0.3]})
    probes = [probe("activations"), probe("gradients"), probe("weights")]
    many, *_ = measured(runs, *probes)
    for run in runs[:2]:
        alone, *_ = measured([run], *probes)
        for key, values in alone.items():
            assert list(values.values()) == pytest.approx(list(many[key].values()), rel=1e-9)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_that_diverges_keeps_its_nan_to_itself(executor):
    def runs():
        return runs_of(
            seeds=1,
            model={"depth": 2, "width": 8, "activation": "relu"},
            train={"steps": 60, "eval_every": 10},
            sweep={"optimizer.lr": [0.1, 1e30]},
        )

    rows, metrics, ends = measured(
        runs(), probe("activations", every=1), probe("gradients", every=1), executor=executor
    )
    gone = next(end for end in ends if end.status == "diverged")
    kept = next(end for end in ends if end.status == "finished")
    steps = sorted(step for run, step in rows if run == gone.run_id)
    assert steps == list(range(gone.diverged_at_step))  # up to the net whose loss was not finite
    assert any(math.isnan(value) for value in rows[gone.run_id, steps[-1]].values())
    for step in range(61):
        assert all(map(math.isfinite, rows[kept.run_id, step].values()))
    assert repr(metrics) == repr(measured(runs(), executor=executor)[1])


def test_the_training_time_leaves_the_probes_out(monkeypatch):
    now = [0.0]

    def clock():
        now[0] += 0.001  # so that a part that reads the clock twice takes some time
        return now[0]

    def slow(self, parts):
        now[0] += 1000
        return {("net", "cost.step_seconds"): 1.0}

    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(PROBES["cost"], "measure_stack", slow)
    stack = trainer(runs_of(seeds=2, train={"steps": 20, "eval_every": 20}), probes=[probe("cost", every=10)])
    ends = [event for event in stack.events() if not isinstance(event, Layers)][-2:]
    assert stack.probing.seconds > 3000
    assert 0 < sum(end.train_seconds for end in ends) < 1000


def test_a_stack_that_was_stopped_measures_the_same():
    runs = runs_of(seeds=2, train={"steps": 60, "eval_every": 20})
    probes = [probe("activations", every=5), probe("weights", every=7)]
    whole = [event for event in trainer(runs, probes=probes).events() if isinstance(event, Layers)]
    first = trainer(runs, probes=probes)
    told = [e for e in first.events(lambda: first.state.step >= 20) if isinstance(e, Layers)]
    assert 0 < first.state.step < 60
    ids = [run.run_id for run in runs]
    data = dump_state(first.state, ids, "vectorized")
    from normbench.engine.checkpoint import seal

    state = load_state(seal(data, {}), ids, "vectorized", first.device)
    told += [e for e in trainer(runs, probes=probes, state=state).events() if isinstance(e, Layers)]
    assert told == whole


def test_schedules():
    assert probe("weights").schedule(100, [0, 50, 100]) == [0, 50, 100]
    assert probe("weights", every=40).schedule(100, [0]) == [0, 40, 80]
    assert probe("weights", steps=[7, 3, 200]).schedule(100, [0]) == [3, 7]
    assert probe("weights", log=3).schedule(100, [0]) == [0, 1, 10, 100]
