"""Stacks on a real Ray cluster of this machine, whose nodes, workers and drivers are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cells import execute
from helpers.launch import MLP, Heard, records, sessions, train
from helpers.plugins import NORM, write

pytest.importorskip("ray", reason="needs normbench[ray]")

import numpy as np
import psutil
import ray
from PIL import Image
from ray.cluster_utils import Cluster

import normbench
from normbench.data import load
from normbench.data.digits import Digits
from normbench.errors import NormbenchError
from normbench.launch import ray as launcher
from normbench.launch.ray_worker import Images, Software

pytestmark = [
    pytest.mark.filterwarnings("default"),  # Ray's own
    pytest.mark.skipif(os.name == "nt", reason="kills processes as on POSIX"),
]
LONG = MLP.replace("steps: 230, eval_every: 60", "steps: 1500, eval_every: 100").replace(
    "[none, batchnorm]", "[batchnorm]"
)
LIGHT = {"object_store_memory": 80_000_000, "include_log_monitor": False}


def node(cluster):
    return cluster.add_node(num_cpus=1, **LIGHT)


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, and one node with one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(normbench.__file__).parents[1]))  # of the workers
        cluster = Cluster()
        cluster.add_node(num_cpus=0, include_dashboard=False, **LIGHT)
        cluster.node = node(cluster)
        launcher._connect(cluster.address, {"num_cpus": 1.0})
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder, LONG)
    return folder


class At(Heard):
    """Acts once, when progress is reported for the n-th time."""

    def __init__(self, n, act):
        super().__init__()
        self.left, self.act = n, act

    def advance(self, run_steps):
        self.left -= 1
        if self.left == 0:
            self.act()


def trainers():
    """Return the processes of this machine that are workers of normbench."""
    return [one for one in psutil.process_iter(["cmdline"]) if "ray::Trainer" in str(one.info["cmdline"])]


def replaced(cluster):
    """Let a new node come, and the one that trains go."""
    old, cluster.node = cluster.node, node(cluster)
    cluster.remove_node(old, allow_graceful=False)


def test_a_node_comes_another_one_is_lost_and_its_stack_goes_on(cluster, whole, tmp_path):
    heard = At(12, lambda: replaced(cluster))
    done = train(tmp_path, LONG, launcher="ray", checkpoint_every=0, reporter=heard)
    assert (done.trained, done.crashed, done.interrupted) == (6, 0, False)
    assert heard.left <= 0
    assert any("its node is lost" in text for text in heard.messages), heard.messages
    assert any("continues at step" in text for text in heard.messages), heard.messages
    assert records(tmp_path) == records(whole)
    once, again = sessions(whole)[0]["run_steps"], sessions(tmp_path)[0]["run_steps"]
    assert once <= again < 1.2 * once


def test_a_worker_is_killed_and_its_stack_goes_on(cluster, whole, tmp_path):
    heard = At(12, lambda: [one.kill() for one in trainers()])
    done = train(tmp_path, LONG, launcher="ray", checkpoint_every=0, reporter=heard)
    assert (done.trained, done.crashed) == (6, 0)
    assert any("its worker is lost" in text for text in heard.messages), heard.messages
    assert records(tmp_path) == records(whole)


CALL = """
import sys
from normbench import api
api.run(sys.argv[1], results=sys.argv[2], threads=1, device="cpu", checkpoint_every=0, launcher="ray",
        address=sys.argv[3])
"""


def start(cluster, folder):
    folder.mkdir(exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(LONG, encoding="utf-8")
    command = [sys.executable, "-c", CALL, str(path), str(folder), cluster.address]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process=None):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_driver_is_ended_and_a_second_one_goes_on(number, cluster, whole, tmp_path):
    process = start(cluster, tmp_path)
    wait_for(lambda: list(tmp_path.glob("tiny/checkpoints/*.pt")), process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    wait_for(lambda: not trainers())
    assert list(tmp_path.glob("tiny/checkpoints/*.pt"))
    heard = Heard()
    done = train(tmp_path, LONG, launcher="ray", reporter=heard)
    assert (done.trained, done.crashed) == (6 - done.skipped, 0)
    assert any("continues at step" in text for text in heard.messages), heard.messages
    assert records(tmp_path) == records(whole)
    if number == signal.SIGTERM:
        made = [sum(one["run_steps"] for one in sessions(folder)) for folder in (tmp_path, whole)]
        assert made[0] == made[1]


DEADLY = NORM.replace(
    "    def forward(self, x):\n",
    """    def forward(self, x):
        import os, signal, sys, time

        if sys.argv[0].endswith("default_worker.py"):  # not where the command checks the plug-in
            os.kill(os.getppid(), signal.SIGKILL)  # the node
            time.sleep(600)
""",
)


@pytest.mark.thorough
def test_a_plugin_that_kills_its_node_three_times_has_crashed_and_the_others_go_on(cluster, tmp_path):
    class Replacing(Heard):
        def message(self, text):
            super().message(text)
            if "its node is lost" in text:
                cluster.node = node(cluster)

    small = MLP.replace("[none, batchnorm]", "[none, own]").replace("[0.003, 0.03, 1.0e+30]", "[0.03]")
    heard = Replacing()
    with normbench.plugins.unchanged():
        plugin = write(tmp_path, own=DEADLY)
        done = train(tmp_path, small, launcher="ray", reporter=heard, plugins=[plugin])
    cluster.node = node(cluster)
    assert (done.trained, done.crashed) == (2, 2), heard.messages
    assert any("its node was lost 3 times" in text for text in heard.messages), heard.messages


def test_a_plugin_and_its_data_reach_the_workers(cluster, tmp_path):
    small = MLP.replace("[none, batchnorm]", "[own]").replace("steps: 230", "steps: 120")
    with normbench.plugins.unchanged():
        plugin = write(tmp_path / "plugin", own=NORM)
        train(tmp_path / "here", small, plugins=[plugin])
        done = train(tmp_path / "there", small, launcher="ray", plugins=[plugin])
    assert (done.trained, done.crashed) == (6, 0)
    assert records(tmp_path / "there") == records(tmp_path / "here")


CELL = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

class Net(nn.Module):
    def __init__(self, input_shape, classes, width=8):
        super().__init__()
        self.head = nn.Linear(input_shape[-1], classes)

    def forward(self, x):
        return self.head(x.flatten(1))

def clouds(count):
    y = torch.arange(count) % 3
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(count))
    return TensorDataset(x + y[:, None], y)
"""


def test_what_stands_in_a_config_reaches_the_workers(cluster, tmp_path, monkeypatch):
    with normbench.plugins.unchanged():
        book = execute([CELL], "a_ray_book", monkeypatch)
        config = {
            "name": "tiny",
            "seeds": 2,
            "data": {"name": (book.clouds(60), book.clouds(30)), "batch_size": 20},
            "model": book.Net,
            "train": {"steps": 60, "eval_every": 20},
        }
        options = {"device": "cpu", "threads": 1, "data_dir": tmp_path / "data"}
        normbench.run(config, results=tmp_path / "here", **options)
        done = normbench.run(config, results=tmp_path / "there", launcher="ray", **options)
    assert (done.trained, done.crashed) == (2, 0)
    assert records(tmp_path / "there") == records(tmp_path / "here")


IMAGES = """
name: tiny
seeds: 1
data: {name: image_folder, root: ROOT, batch_size: 4}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 60, eval_every: 20}
sweep: {model.norm: [none, batchnorm]}
"""


def test_a_folder_of_images_reaches_the_workers(cluster, tmp_path):
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for place, name in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(100 * place, 100 + 100 * place, (6, 5, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    config = IMAGES.replace("ROOT", str(tmp_path / "images"))
    options = {"data_dir": tmp_path / "data"}  # with a cache of its own
    train(tmp_path / "here", config, **options)
    done = train(tmp_path / "there", config, launcher="ray", **options)
    assert (done.trained, done.crashed) == (2, 0)
    assert records(tmp_path / "there") == records(tmp_path / "here")


def test_ctrl_c_ends_the_command_within_seconds_and_leaves_no_worker(cluster, whole, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(LONG, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "normbench",
        "run",
        str(path),
        "--results",
        str(tmp_path),
        "--no-figures",
    ]
    command += ["--threads", "1", "--device", "cpu", "--launcher", "ray", "--address", cluster.address]
    command += ["--checkpoint-every", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(tmp_path.glob("tiny/checkpoints/*.pt")), process)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert time.monotonic() - began < 20, "on a busy machine; a second or two on a quiet one"
    wait_for(lambda: not trainers())
    done = train(tmp_path, LONG, launcher="ray")
    assert (done.trained, done.crashed) == (6 - done.skipped, 0)
    assert records(tmp_path) == records(whole)


def test_a_worker_with_other_software_is_refused(cluster, tmp_path, monkeypatch):
    here = Software.here()
    other = Software(here.normbench, here.code, "1.0", here.numpy, here.python)
    monkeypatch.setattr(Software, "here", classmethod(lambda cls: other))
    with pytest.raises(NormbenchError, match=r"the node [\d.]+ has torch .* instead of 1.0; .* on all nodes"):
        train(tmp_path, launcher="ray")
    wait_for(lambda: not trainers())


def test_images_arrive_as_they_are():
    dataset = load(Digits(train_size=50, test_size=20, val_size=10, batch_size=10))
    there = Images.of("key", dataset).on("cpu")
    for part in ("train", "val", "test"):
        one, other = getattr(dataset, part), getattr(there, part)
        assert one.x.equal(other.x)
        assert one.y.equal(other.y)
        assert one.x.data_ptr() != other.x.data_ptr()
        assert (one.x.dtype, one.y.dtype) == (other.x.dtype, other.y.dtype)
    assert there.label_entropy == dataset.label_entropy


@pytest.mark.thorough
def test_the_command_starts_a_cluster_and_ends_it(whole, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(LONG, encoding="utf-8")
    command = [sys.executable, "-m", "normbench", "run", str(path), "--results", str(tmp_path), "--json"]
    command += ["--launcher", "ray", "--threads", "1", "--device", "cpu", "--no-figures"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)  # nothing else is on stdout
    assert (answer["trained"], answer["crashed"]) == (6, 0)
    assert records(tmp_path) == records(whole)
    wait_for(lambda: not trainers())


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "127.0.0.1:99999", "[::1]:1", "no-such-host.invalid:6379"]
)
def test_an_address_without_a_cluster_is_refused_at_once(address):
    with pytest.raises(NormbenchError, match=f"--address: no Ray cluster at '{re.escape(address)}'"):
        launcher._refuse_if_nobody_listens(address)


@pytest.mark.thorough
def test_an_address_without_a_cluster_is_a_sentence(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(MLP, encoding="utf-8")
    command = [sys.executable, "-m", "normbench", "run", str(path), "--results", str(tmp_path)]
    command += ["--launcher", "ray", "--address", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "--address: no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert "Traceback" not in done.stderr
