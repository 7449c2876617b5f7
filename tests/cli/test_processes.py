"""Commands as processes: what they import, how they are interrupted, and what they say last."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.cli import CONFIG, config_file, good

from normbench.records import read_metrics

HEAVY = ("pydantic", "torch", "torchvision", "scipy", "pandas", "matplotlib", "sklearn", "numpy", "yaml")
QUICK = f"""
import sys
from normbench.cli import main
sys.argv = ["normbench", *sys.argv[1:]]
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
# What takes long to import, and parts of normbench that a plan does without.
SLOW = (
    *("torch", "torchvision", "torch._dynamo", "torch._inductor", "pandas", "sklearn", "matplotlib"),
    *("normbench.engine.loop", "normbench.analysis", "normbench.launch.session", "normbench.plots"),
    *("numpy", "yaml", "pydantic"),
)
REFUSED = QUICK.replace(str(HEAVY), str(SLOW))


@pytest.mark.parametrize(
    ("args", "completion", "answer"),
    [
        (["--help"], {}, "Usage: normbench [OPTIONS]"),
        (["run", "--help"], {}, "Usage: normbench run"),
        ([], {"COMP_WORDS": "normbench li", "COMP_CWORD": "1"}, "list"),
    ],
    ids=["help", "help of a verb", "completion"],
)
def test_help_and_completion_import_nothing_heavy(args, completion, answer):
    extra = {**completion, "_NORMBENCH_COMPLETE": "complete_bash"} if completion else {}
    done = subprocess.run(
        [sys.executable, "-c", QUICK, *args], capture_output=True, text=True, env={**os.environ, **extra}
    )
    found = done.stderr.splitlines()[-1]
    allowed = ["[]"] if args == ["--help"] else ["[]", "['pydantic']"]  # some versions of Typer import it
    assert found in allowed
    assert answer in done.stdout


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_refused_config_imports_torch_and_little_else(tmp_path, verb):
    """Its keys are those of classes with layers, so that torch is needed; nothing that trains or draws is."""
    path = config_file(tmp_path, CONFIG.replace("depth:", "dept:").replace("name: digits", "name: mnist"))
    done = subprocess.run([sys.executable, "-c", REFUSED, verb, path], capture_output=True, text=True)
    *said, found = done.stderr.splitlines()
    assert "did you mean 'depth'?" in said[-1]
    assert found == "['torch', 'numpy', 'yaml', 'pydantic']"


def test_a_plan_imports_no_engine_and_nothing_that_reads_or_draws_results(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, "plan", config_file(tmp_path)], capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "['torch', 'numpy', 'yaml', 'pydantic']"


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "normbench", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert errors == b""


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_process_ends_with_normbenchs_own_words(tmp_path, verb):
    """Libraries that are left with what was not collected must not have the last word."""
    own = ["--results", tmp_path / "results", "--threads", "1"] if verb == "run" else []
    command = [sys.executable, "-m", "normbench", verb, config_file(tmp_path), *own]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1:]
    assert last == [] if verb == "plan" else "trained 8 runs" in last[0]


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_keeps_what_was_measured_and_the_same_command_goes_on(tmp_path, number):
    path = config_file(tmp_path, CONFIG.replace("steps: 20, eval_every: 10", "steps: 4000, eval_every: 40"))
    results = tmp_path / "results"
    arguments = ["run", path, "--results", results, "--threads", "1", "--set", "model.norm=[none]"]
    process = subprocess.Popen(
        [sys.executable, "-m", "normbench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size > 500 for part in results.glob("tiny/parts/*metrics*")):
        assert time.monotonic() < deadline, process.communicate()
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "continue with:  python -m normbench run" in errors
    assert str(path) in errors
    assert output == ""
    (answer,) = json.loads(good("status", results, "--json").stdout)
    assert answer["statuses"]["interrupted"] >= 1
    assert answer["seconds_left"] is None or answer["seconds_left"] > 0
    assert len(read_metrics(results / "tiny")) > 4
    if number == signal.SIGTERM:
        return  # the same from here on
    (answer,) = json.loads(good(*arguments, "--json").stdout)
    assert not answer["interrupted"]
    (answer,) = json.loads(good("status", results, "--json").stdout)
    assert answer["statuses"]["finished"] == 4


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_ctrl_c_ends_the_command_while_torch_is_imported(tmp_path, verb):
    """Even if the import swallows the exception, as parts of torch do."""
    (tmp_path / "torch.py").write_text(
        "import sys, time\nprint('importing', file=sys.stderr, flush=True)\n"
        "while True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "normbench", verb, config_file(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    lines = [process.stderr.readline() for _ in range(2 if verb == "run" else 1)]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert verb == "plan" or lines[0].startswith("normbench: reading ")
    assert lines[-1] == "importing\n"
    assert errors == "interrupted\n"
    assert process.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
def test_ctrl_c_is_left_to_a_program_that_imports_normbench():
    code = "import signal, normbench, normbench.cli, normbench.__main__; print(signal.getsignal(2).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "default_int_handler\n"
