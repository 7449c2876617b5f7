"""Every way to ask a training to end: it answers, writes a checkpoint, and goes on later."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.cli import CONFIG, config_file
from helpers.launch import MLP, Heard, records, train

from normbench.launch import stop as module
from normbench.launch.stop import StopFlag, stop_signals

posix = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
LONG = MLP.replace("steps: 230", "steps: 3000")


class Pressed(Heard):
    """Acts once, after some chunks of steps."""

    def __init__(self, act, after=3):
        super().__init__()
        self.act, self.left = act, after

    def advance(self, run_steps):
        self.left -= 1
        if self.left == 0:
            self.act()


@pytest.mark.parametrize(
    "act",
    [
        _thread.interrupt_main,  # what a notebook's kernel does on Windows
        lambda: signal.raise_signal(signal.SIGINT),
        lambda: os.kill(os.getpid(), signal.SIGINT),
    ],
    ids=["interrupt_main", "raise_signal", "kill"],
)
def test_a_notebooks_stop_button_writes_a_checkpoint_and_the_same_call_goes_on(tmp_path, act):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, reporter=Pressed(act))
    assert signal.getsignal(signal.SIGINT) is before
    assert list((stopped / "tiny" / "checkpoints").glob("*.pt"))
    heard = Heard()
    train(stopped, reporter=heard)
    assert any("continues at step" in message for message in heard.messages)
    assert records(stopped) == records(whole)


def test_a_thread_trains_without_signals(tmp_path):
    done = []
    thread = threading.Thread(target=lambda: done.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert done[0].trained == 12


def test_a_program_that_handles_a_signal_keeps_it():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("its own"))
    try:
        with StopFlag(only_default=True) as stop:
            assert not stop()
            signal.raise_signal(signal.SIGTERM)
            assert not stop()
        assert heard == ["its own"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_before_training_a_signal_ends_at_once():
    with StopFlag() as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert stop.number is None


@posix
def test_a_schedulers_signal_never_ends_at_once_and_the_next_one_counts_as_the_first():
    heard = []
    with StopFlag(lambda: heard.append("stopping")) as stop:
        assert not stop()
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR1)
            assert stop.number == signal.SIGUSR1
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert heard == ["stopping"] * 3


@posix
def test_nohup_stays_in_force():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopFlag() as stop:
            assert not stop()
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("missing", [("SIGHUP",), ("SIGHUP", "SIGTERM"), ()])
def test_systems_without_some_signals(monkeypatch, missing):
    for name in missing:
        monkeypatch.delattr(module.signal, name)
    monkeypatch.setattr(module.signal, "SIGBREAK", signal.SIGINT, raising=False)
    assert len(stop_signals()) == 4 + hasattr(signal, "SIGUSR1") - len(missing)
    with StopFlag() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()


def start(*arguments, **options):
    command = [sys.executable, "-m", "normbench", "run", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@posix
def test_the_first_line_comes_before_torch_and_ctrl_c_is_answered_from_then_on(tmp_path):
    process = start(config_file(tmp_path), "--results", tmp_path / "results")
    assert process.stderr.readline().startswith("normbench: reading ")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert not (tmp_path / "results").exists()


@posix
@pytest.mark.parametrize("workers", [None, pytest.param("2", marks=pytest.mark.thorough)])
def test_a_closed_terminal_ends_like_ctrl_c(tmp_path, workers):
    """The shell sends SIGHUP to the whole group, and nothing can be written to the terminal any more."""
    path = config_file(tmp_path, CONFIG.replace("steps: 20, eval_every: 10", "steps: 9000, eval_every: 40"))
    results = tmp_path / "results"
    options = ["--workers", workers, "--launcher", "processes"] if workers else []
    process = start(path, "--results", results, "--threads", "1", *options, start_new_session=True)
    deadline = time.monotonic() + 90
    while not any(part.stat().st_size > 500 for part in results.glob("tiny/parts/*metrics*")):
        assert time.monotonic() < deadline, process.communicate()
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.stderr.close()  # like the terminal
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(30) == 130
    process.stdout.close()
    assert list((results / "tiny" / "checkpoints").glob("*.pt"))
