"""Devices and memory of systems that cannot be run here, faked where normbench asks for them."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from helpers.cli import config_file

from normbench import api
from normbench.engine.exact import exact, exactness
from normbench.errors import PlanError
from normbench.planning import memory


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_says_why_it_does_not_take_mps(mac, tmp_path):
    path = config_file(tmp_path)
    found = api.plan(path)
    assert found.device == "cpu"
    (note,) = [note for note in found.notes if "mps" in note]
    assert "--device mps" in note
    assert not any("mps" in note for note in api.plan(path, device="cpu").notes)
    assert api.plan(path, device="mps").device == "mps"


@pytest.mark.parametrize(
    "change",
    [["train.dtype=float64"], ["sweep.train.dtype=[float32, float64]"]],
)
def test_float64_on_mps_is_refused(mac, tmp_path, change):
    with pytest.raises(PlanError, match=r"train.dtype: float64 cannot be trained on mps"):
        api.plan(config_file(tmp_path), change, device="mps")
    assert api.plan(config_file(tmp_path), change).device == "cpu"


def test_no_mps_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not any("mps" in note for note in api.plan(config_file(tmp_path)).notes)
    with pytest.raises(PlanError, match="no 'mps'; use --device cpu"):
        api.plan(config_file(tmp_path), device="mps")


@pytest.mark.parametrize(
    ("container", "free"),
    [(None, 3e9), ("max\n", 3e9), ("2000000000\n", 2e9), ("9000000000\n", 3e9)],
    ids=str,
)
def test_free_memory_is_what_the_system_and_a_container_allow(monkeypatch, container, free):
    def read_text(path, *args, **options):
        assert str(path).startswith("/sys/fs/cgroup")
        if container is None:  # Windows, macOS
            raise FileNotFoundError(path)
        return container

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3_000_000_000))
    assert memory.free_memory("cpu") == memory.free_memory("mps") == free


def test_cuda_trains_without_tf32_and_gives_the_settings_back():
    backends = torch.backends
    before = backends.cudnn.deterministic, backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    backends.cuda.matmul.allow_tf32 = True
    try:
        with exact("cuda"):
            assert exactness("cuda") == {
                "cuda": {
                    "matmul_tf32": False,
                    "cudnn_tf32": False,
                    "cudnn_deterministic": True,
                    "cudnn_benchmark": False,
                }
            }
        assert backends.cuda.matmul.allow_tf32
    finally:
        backends.cuda.matmul.allow_tf32 = before[2]
    assert (backends.cudnn.deterministic, backends.cudnn.allow_tf32) == before[:2]
    with exact("cpu"):
        assert exactness("cpu") == {}
        assert backends.cudnn.deterministic == before[0]
