"""What all exports share: the registry, where files go, and what is refused."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from helpers.cli import call, good

from normbench.exports import EXPORTS

ROOT = Path(__file__).parents[2]


def test_each_target_with_a_package_has_its_extra_and_the_list_names_all():
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = [cls.key() for cls in EXPORTS.classes() if cls.modules]
    assert all(re.search(rf"^{name} = \[", extras, re.M) for name in needed)
    assert needed
    listed = good("list", "exports").stdout
    assert all(name in listed for name in EXPORTS)
    assert "list exports" in " ".join(good("export", "--help").stdout.split())


@pytest.mark.parametrize("cls", [cls for cls in EXPORTS.classes() if cls.modules], ids=lambda cls: cls.key())
def test_without_the_package_a_sentence_says_what_to_install(folder, tmp_path, monkeypatch, cls):

    for module in cls.modules:
        monkeypatch.setitem(sys.modules, module, None)
    done = call("export", folder, "--to", cls.key(), "--output", tmp_path / "out")
    assert done.exit_code == 2
    assert f"pip install 'normbench[{cls.key()}]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_an_output_files_lie_beside_the_records(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "all" / "one")
    shutil.copytree(folder, tmp_path / "all" / "two")
    done = good("export", tmp_path / "all", "--to", "markdown")
    place = tmp_path / "all" / "exports" / "markdown"
    assert done.stdout.split() == [str(place / name / "summary.md") for name in ("one", "two")]
    again = good("export", tmp_path / "all", "--to", "markdown")  # the folder of exports is no experiment
    assert again.stdout == done.stdout


def test_a_place_that_is_a_file_is_refused(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    done = call("export", folder, "--to", "markdown", "--output", tmp_path / "file")
    assert done.exit_code == 2
    assert str(tmp_path / "file") in done.stderr


def test_a_run_whose_settings_are_not_known_is_exported_and_said(folder, tmp_path):
    from normbench.exports.base import Source

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    text = (copy / "config.yaml").read_text(encoding="utf-8")
    (copy / "config.yaml").write_text(text.replace("name: mlp", "name: my_own"), encoding="utf-8")
    said = []
    source = Source(copy, said.append)
    assert source.settings[0] == {"model.norm": "none", "optimizer.lr": 0.3981071706}
    (sentence,) = said
    assert "does not give the settings of 4 of 4 runs" in sentence
    assert "my_own" in sentence
