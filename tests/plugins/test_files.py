"""Plug-ins of several files, and packages: all of them are found, count, and reach the workers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers.cli import good
from helpers.plugins import CONFIG, HELPERS, LAZY, NORM, records, rows, run_ids, sweep, write

from normbench import plugins
from normbench.config import parse_config
from normbench.errors import NormbenchError
from normbench.norms import NORMS
from normbench.planning.plan import make_plan


def loaded(path):
    """Return the plug-in of a path, as a process that loads only it has it."""
    with plugins.unchanged():
        plugins.load_plugins([path])
        return plugins.loaded()[-1]


def in_a_process(*args):
    quick = ["--no-figures"] if args[0] == "run" else []  # drawing takes most of the time
    command = [sys.executable, "-m", "normbench", *map(str, args), *quick]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "launcher", [(), pytest.param(("--launcher", "processes", "--workers", "1"), marks=pytest.mark.thorough)]
)
def test_a_file_imports_what_lies_beside_it_also_within_functions(launcher, tmp_path):
    path = write(tmp_path, own=LAZY, my_helpers=HELPERS)
    done = in_a_process(
        "run",
        sweep(tmp_path),
        "--plugin",
        path,
        "--results",
        tmp_path,
        "--device",
        "cpu",
        "--json",
        *launcher,
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert (answer["trained"], answer["crashed"]) == (4, 0)
    (record,) = records(tmp_path / "tiny")
    assert set(record["files"]) == {"own.py", "my_helpers.py"}


def test_the_layer_with_a_helper_trains_as_the_layer_in_one_file(tmp_path):
    losses = []
    for name, files in {"one": {"own": NORM}, "two": {"own.py": LAZY, "my_helpers": HELPERS}}.items():
        with plugins.unchanged():
            path = write(tmp_path / name, **files)
            good(
                "run",
                sweep(tmp_path),
                "--plugin",
                path,
                "--results",
                tmp_path / f"r_{name}",
                "--device",
                "cpu",
            )
            losses.append([row["final_test_loss"] for row in rows(tmp_path / f"r_{name}" / "tiny")])
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 4


PACKAGE = {
    "lab/__init__.py": "from . import norms\nfrom lab.parts.tools import nothing\n",
    "lab/norms.py": NORM.replace("import torch\n", "import torch\nfrom .parts import tools\n"),
    "lab/parts/__init__.py": "",
    "lab/parts/tools.py": "nothing = None\n",
}


@pytest.mark.parametrize(
    "launcher", [(), pytest.param(("--launcher", "processes", "--workers", "1"), marks=pytest.mark.thorough)]
)
def test_a_package_is_loaded_with_relative_imports(launcher, tmp_path):
    write(tmp_path, PACKAGE)
    folder = tmp_path / "lab"
    done = in_a_process(
        "run",
        sweep(tmp_path),
        "--plugin",
        folder,
        "--results",
        tmp_path,
        "--device",
        "cpu",
        "--json",
        *launcher,
    )
    assert done.returncode == 0, done.stderr
    assert [answer["trained"] for answer in json.loads(done.stdout)] == [4]
    (record,) = records(tmp_path / "tiny")
    assert record["main"] == "lab/__init__.py"
    assert len(record["files"]) == 4


def test_every_file_counts_and_only_the_names_of_the_others(tmp_path):
    """A rename of the main file or of the package changes nothing; one of a helper changes its import."""
    one = loaded(write(tmp_path / "a", own=LAZY, my_helpers=HELPERS)).identity
    assert loaded(write(tmp_path / "b", renamed=LAZY, my_helpers=HELPERS)).identity == one
    assert loaded(write(tmp_path / "c", own=LAZY, my_helpers=HELPERS + "# comment\r\n")).identity == one
    assert loaded(write(tmp_path / "d", own=LAZY, my_helpers=HELPERS.replace("0.01", "0.02"))).identity != one
    assert loaded(write(tmp_path / "e", own=LAZY, my_helpers=HELPERS, other="x = 1")).identity == one

    write(tmp_path / "f", PACKAGE)
    write(
        tmp_path / "g",
        {name.replace("lab", "bal"): text.replace("lab.", "bal.") for name, text in PACKAGE.items()},
    )
    write(tmp_path / "h", {**PACKAGE, "lab/unused.py": "x = 1\n"})
    relative = {**PACKAGE, "lab/__init__.py": "from . import norms\n"}
    write(tmp_path / "i", relative)
    write(tmp_path / "j", {name.replace("lab", "bal"): text for name, text in relative.items()})
    package = loaded(tmp_path / "f" / "lab").identity
    assert loaded(tmp_path / "g" / "bal").identity != package  # it imports itself by another name
    assert loaded(tmp_path / "h" / "lab").identity != package
    assert loaded(tmp_path / "j" / "bal").identity == loaded(tmp_path / "i" / "lab").identity


def test_the_ids_of_runs_follow_the_identity(tmp_path):
    def ids(folder, **files):
        with plugins.unchanged():
            plugins.load_plugins([write(tmp_path / folder, **files)])
            plan = make_plan(parse_config(CONFIG), device="cpu")
            return {run.run_id for run in plan.runs if run.settings.model.norm.name == "own"}

    one = ids("a", own=LAZY, my_helpers=HELPERS)
    assert ids("b", other_name=LAZY + "# comment\n", my_helpers=HELPERS) == one
    assert not ids("c", own=LAZY, my_helpers=HELPERS.replace("0.01", "0.02")) & one


def test_folders_without_init_and_helpers_of_helpers_are_found(tmp_path):
    path = write(
        tmp_path,
        own=NORM.replace(
            "import torch\n", "import importlib\nimport torch\nimport utils.tools as tools\n"
        ).replace("+ 0.01", "+ tools.EPS * importlib.import_module('third').ONE"),
        **{"utils/tools": "from second import EPS\n"},
        second="EPS = 0.01\n",
        third="ONE = 1\n",
    )
    plugin = loaded(path)
    assert [one.file for one in plugin.sources] == ["own.py", "second.py", "third.py", "utils/tools.py"]
    good("run", sweep(tmp_path), "--plugin", path, "--results", tmp_path, "--device", "cpu")
    assert {row["status"] for row in rows(tmp_path / "tiny")} == {"finished"}


@pytest.mark.parametrize("launcher", ["local", pytest.param("processes", marks=pytest.mark.thorough)])
def test_two_files_of_one_name_in_two_folders(launcher, tmp_path):
    """Guards against workers that tell plug-ins apart by the name of the file."""
    one = write(tmp_path / "a", norm=NORM)
    two = write(tmp_path / "b", norm=NORM.replace('"own"', '"own_b"').replace("0.01", "0.02"))
    config = sweep(tmp_path, CONFIG.replace("[none, own]", "[own, own_b]"))
    command = ["run", config, "--plugin", one, "--plugin", two, "--results", tmp_path, "--device", "cpu"]
    done = in_a_process(*command, "--launcher", launcher)
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in rows(tmp_path / "tiny")} == {"finished"}


def test_two_helpers_of_one_name_in_two_folders_are_refused(tmp_path):
    one = write(tmp_path / "a", own=LAZY, my_helpers=HELPERS)
    two = write(tmp_path / "b", own_b=LAZY.replace('"own"', '"own_b"'), my_helpers=HELPERS)
    plugins.load_plugins([one])
    with pytest.raises(
        NormbenchError, match=r"b/my_helpers.py: the module 'my_helpers' is there already .*a/my_h"
    ):
        plugins.load_plugins([two])
    assert list(NORMS)[-1] == "own"


@pytest.mark.parametrize("name", ["random", "pandas", "yaml"])
def test_a_helper_with_the_name_of_an_installed_module_is_refused(name, tmp_path):
    path = write(tmp_path, own=f"import {name}\n" + NORM, **{name: "x = 1\n"})
    with pytest.raises(
        NormbenchError, match=rf"{name}.py: the module '{name}' is there already .*rename one"
    ):
        plugins.load_plugins([path])


FAULTS = {
    "syntax in a helper": ({"own.py": LAZY, "my_helpers.py": "x = = 1\n"}, r"my_helpers.py:1:5: not Python"),
    "error in a helper": (
        {"own.py": "import my_helpers\n" + NORM, "my_helpers.py": "x = 1\n1 / 0\n"},
        r"own.py: .*my_helpers.py:2: ZeroDivisionError",
    ),
    "no helper": ({"own.py": "import my_helpers\n" + NORM}, r"own.py:1: ModuleNotFoundError: .*'my_helpers'"),
    "circle": (
        {"own.py": LAZY, "my_helpers.py": "x = 1\nimport own\n"},
        r"my_helpers.py:2: imports own.py, which is the",
    ),
    "relative": (
        {"lab/own.py": "from .x import y\n" + NORM},
        r"own.py:1: .*relative to a package; .*--plugin lab\)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_helpers_name_their_file_and_can_be_mended(fault, tmp_path):
    files, message = FAULTS[fault]
    path = write(tmp_path, files)
    with pytest.raises(NormbenchError, match=message):
        plugins.load_plugins([path])
    assert "own" not in NORMS
    path = write(tmp_path, {next(iter(files)): LAZY, "my_helpers.py": HELPERS, "lab/my_helpers.py": HELPERS})
    plugins.load_plugins([path])
    assert "own" in NORMS


def test_folders_that_are_no_package_are_refused(tmp_path):
    write(tmp_path, {"lab/own.py": NORM})
    with pytest.raises(NormbenchError, match=r"lab is a folder without __init__.py; name a Python file, or"):
        plugins.load_plugins([tmp_path / "lab"])


def test_a_helper_that_changes_while_the_process_runs_is_refused(tmp_path):
    path = write(tmp_path, own=LAZY, my_helpers=HELPERS)
    plugins.load_plugins([path])
    write(tmp_path, my_helpers=HELPERS.replace("0.01", "0.02"))
    with pytest.raises(NormbenchError, match=r"my_helpers.py: has changed since this process loaded it"):
        plugins.load_plugins([path])


def test_a_helper_that_was_imported_before_is_refused(tmp_path, monkeypatch):
    """Its file may have changed between the import and the hash."""
    path = write(tmp_path, own=LAZY, my_helpers=HELPERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("my_helpers")
    with pytest.raises(NormbenchError, match=r"my_helpers.py: was imported before the plug-in that needs it"):
        plugins.load_plugins([path])


def installed(folder, monkeypatch, files, version="1.2"):
    write(folder, files)
    meta = folder / f"lab-{version}.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lab\nVersion: {version}\n")
    (meta / "entry_points.txt").write_text("[normbench.plugins]\nnorms = lab.norms\n")
    monkeypatch.syspath_prepend(str(folder))


def test_all_files_of_an_installed_package_count(tmp_path, monkeypatch):
    found = []
    for folder, tools in (
        ("a", "nothing = None\n"),
        ("b", "nothing = 1\n"),
        ("c", "nothing = None  # comment\n"),
    ):
        with plugins.unchanged(), monkeypatch.context() as patch:
            installed(tmp_path / folder, patch, {**PACKAGE, "lab/parts/tools.py": tools})
            plugins.load_plugins()
            assert "own" in NORMS
            (plugin,) = plugins.loaded()
            assert (plugin.module, plugin.main) == ("lab.norms", "lab/norms.py")
            found.append(plugin.identity)
            for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
                del sys.modules[name]
    assert found[0] == found[2] != found[1]


def test_what_an_installed_package_registered_before_belongs_to_it(tmp_path, monkeypatch):
    """Guards against runs without the hash of a package that a script imports first."""
    installed(tmp_path, monkeypatch, PACKAGE)
    __import__("lab.norms")
    plugins.load_plugins()
    (plugin,) = plugins.used_by(parse_config(CONFIG.replace("[none, own]", "[own]")).cells[0].settings)
    assert plugin.registers == ("normalization: own",)


def test_run_ids_of_built_in_layers_do_not_change(tmp_path):
    before = make_plan(parse_config(CONFIG.replace("none, own", "none")), device="cpu")
    good(
        "run",
        sweep(tmp_path),
        "--plugin",
        write(tmp_path, own=NORM),
        "--results",
        tmp_path,
        "--device",
        "cpu",
    )
    assert run_ids(tmp_path / "tiny")["none"] == [run.run_id for run in before.runs]
