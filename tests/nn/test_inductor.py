"""What of torch's compiler is used and not documented, and what a machine needs for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.fx import symbolic_trace

from normbench.nn import inductor
from normbench.nn.inductor import Lanes, Like

compiles = pytest.mark.skipif(inductor.missing() is not None, reason=str(inductor.missing()))


@pytest.fixture
def asked():
    """Forget what the machine lacks, before and after."""
    inductor.missing.cache_clear()
    yield
    inductor.missing.cache_clear()


def test_a_machine_without_a_compiler(asked, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    assert inductor.missing() == "this machine has no C++ compiler (no-such-compiler -O3)"


def test_an_old_torch(asked, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    assert inductor.missing() == "it needs torch 2.14 or newer, and this is 2.6.0+cpu"


def test_a_python_without_its_header_files(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(inductor, "OLDEST", (2, 0))
    monkeypatch.setattr(inductor.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert inductor.missing() == "the header files of Python (Python.h) are not installed"


def test_the_compiler_is_not_loaded_before_it_is_used():
    code = (
        "import sys, normbench.engine.loop, normbench.api; "
        "from normbench.nn.inductor import missing; missing(); "
        "assert not {'torch._inductor.compile_fx', 'torch._dynamo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@compiles
@pytest.mark.thorough
def test_one_code_serves_any_number_of_lanes_and_writes_to_its_inputs():
    def function(x, total):
        mean = x.mean(1, keepdim=True)
        y = torch.exp(x - mean)
        return [mean, y.reshape(x.shape[0], 10), total.copy_(total * 0.5 + mean)]

    graph = symbolic_trace(function)
    likes = [
        Like((Lanes(1), 2, 5), (10, 5, 1), torch.float32),
        Like((Lanes(1), 1, 5), (5, 5, 1), torch.float32),
    ]
    code = inductor.compile_graph(graph, likes)
    for lanes in (2, 7, 16, 33):
        x, total = torch.randn(lanes, 2, 5), torch.randn(lanes, 1, 5)
        mine = total.clone()
        found, expected = code([x, mine]), function(x, total)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(mine, total)
