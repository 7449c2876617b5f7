"""What is seen of a value that changes: in attributes, closures, iterators, hooks and tensors."""

from __future__ import annotations

import functools
import itertools
import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from normbench.fidelity.watch import (
    Calls,
    attributes,
    changed,
    kept_copy,
    resetting,
    signature,
    signatures,
    watching,
    without_tensors,
)


def counter():
    calls = [0]

    def count():
        calls[0] += 1
        return calls[0]

    return count


class Schedule:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1


class Slots:
    __slots__ = ("calls",)

    def __init__(self):
        self.calls = 0


def stepping():
    yield from range(9)


def _increment(owner):
    owner.calls += 1


# A value, and what changes it.
CHANGES = {
    "list": (lambda: [0], lambda value: value.append(1)),
    "nested": (lambda: {"a": [{"b": 0}]}, lambda value: value["a"][0].update(b=1)),
    "set": (lambda: {1}, lambda value: value.add(2)),
    "deque": (lambda: deque([1], maxlen=1), lambda value: value.append(2)),
    "tensor": (lambda: torch.zeros(2), lambda value: value.add_(1)),
    "array": (lambda: np.zeros(2), lambda value: np.add(value, 1, out=value)),
    "numpy's generator": (lambda: np.random.default_rng(0), lambda value: value.random()),
    "Python's generator": (lambda: random.Random(0), lambda value: value.random()),
    "torch's generator": (torch.Generator, lambda value: torch.rand(1, generator=value)),
    "closure": (counter, lambda value: value()),
    "object": (Schedule, lambda value: value()),
    "method": (lambda: Schedule().__call__, lambda value: value()),
    "slots": (Slots, _increment),
    "partial": (lambda: functools.partial(counter()), lambda value: value()),
    "count": (itertools.count, next),
    "iterator": (lambda: iter([1, 2, 3]), next),
    "generator": (stepping, next),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_signature_changes_with_its_value(kind):
    make, change = CHANGES[kind]
    value = make()
    before = signature(value)
    assert signature(value) == before
    change(value)
    assert signature(value) != before


def test_a_function_attribute_counts():
    count = counter()
    before = signature(count)
    count.label = 1
    assert signature(count) != before


def test_a_new_tensor_never_counts_as_an_older_one():
    """Guards against addresses that Python uses again."""
    signatures_of_new = [signature(torch.zeros(1)) for _ in range(5)]
    assert all(one != other for one, other in itertools.combinations(signatures_of_new, 2))


def test_without_tensors_only_tensors_are_equal():
    one, two = signature([torch.zeros(1), 1]), signature([torch.ones(1), 1])
    assert one != two
    assert without_tensors(one) == without_tensors(two)
    assert without_tensors(one) != without_tensors(signature([torch.zeros(1), 2]))


def test_a_container_that_holds_itself_has_a_signature():
    value = []
    value.append(value)
    assert signature(value) == signature(value)


def test_attributes_are_neither_parameters_nor_buffers_nor_modules():
    net = nn.Sequential(nn.Linear(2, 2))
    net.note = 1
    net.register_buffer("kept", torch.zeros(1))
    assert {key for module, key in attributes(net) if module is net} == {"note"}
    net[0].weight.note = 2
    assert attributes(net)[net[0], "weight"] == {"note": 2}
    net.register_forward_hook(lambda *args: None)
    assert (net, "_forward_hooks") in attributes(net)


def test_changed_names_what_came_went_and_differs():
    assert changed({"a": 1, "b": 1, "c": 1}, {"b": 2, "c": 1, "d": 1}) == ["a", "b", "d"]


def test_copies_do_not_follow_but_parameters_stay():
    inner, param = torch.zeros(1), nn.Parameter(torch.zeros(1))
    copied = kept_copy({"list": [inner], "param": param})
    inner.add_(1)
    assert copied["list"][0].item() == 0
    assert copied["param"] is param


def test_resetting_gives_values_back_and_removes_new_ones():
    net = nn.Sequential(nn.Tanh())
    net[0].seen = [1]
    restore = resetting(net, [("0", "seen"), ("0", "new")])
    before = signatures(net)
    for _ in range(2):
        net[0].seen.append(2)
        net[0].new = 3
        restore()
        assert net[0].seen == [1]
        assert not hasattr(net[0], "new")
    assert before.keys() == signatures(net).keys()


def test_a_watch_sees_draws_and_the_first_module_that_is_not_finite():
    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    net = nn.Sequential(nn.Dropout(0.5), Log(), nn.Tanh())
    with watching(net) as watch, torch.random.fork_rng():
        net(-torch.ones(2, 3))
    assert [(type(module), what) for module, what in watch.draws] == [
        (nn.Dropout, "torch"),
        (nn.Sequential, "torch"),
    ]
    assert watch.infinite is net[1]
    assert str(watch.outputs[0]) == "it got (2, 3) float32 and returned (2, 3) float32"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


READS = {
    "numpy": lambda x: x.numpy(),
    "asarray": np.asarray,
    "tolist": lambda x: x.tolist(),
    "dlpack": np.from_dlpack,
    "storage": lambda x: x.untyped_storage(),
}


@pytest.mark.parametrize("read", READS)
def test_values_that_are_read_without_a_trace_bar_the_traced_executors(read):
    with Calls() as calls:
        READS[read](torch.zeros(2))
    assert set(calls.barred) == {"compiled", "vectorized", "looped"}
    assert all(text.startswith("test_watch.py:") for text in calls.barred.values())


def test_hooks_of_tensors_bar_the_mapping_and_other_calls_nothing():
    with Calls() as calls:
        (torch.ones(2, requires_grad=True) * 2).sum().item()
    assert calls.barred == {}
    with Calls() as calls:
        torch.ones(2, requires_grad=True).register_hook(lambda grad: None)
    assert set(calls.barred) == {"compiled", "vectorized"}
