"""Results that outlive a version: the format of a folder, other environments, claims that came later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import CONFIG, call, config_file, good

from normbench import api
from normbench.launch.reporter import Reporter
from normbench.records import environment
from normbench.records.environment import FORMAT

CLAIM = """\
claims:
  - {id: higher, statement: It helps., measure: final_accuracy, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {difference_at_least: 0}}
"""
SECOND = """\
  - {id: lower, statement: It hurts., measure: final_accuracy, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {difference_at_most: 0}}
"""


class Listener(Reporter):
    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lasting")
    api.run(config_file(folder, CONFIG + CLAIM), results=folder, threads=1)
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def change(folder, **facts):
    file = folder / "tiny" / "environment.json"
    data = json.loads(file.read_text())
    data.update(facts)
    file.write_text(json.dumps(data))


def state(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("number", [FORMAT + 1, "new", 3.5, None])
def test_a_folder_of_a_newer_format_is_refused_and_left_alone(copy, number):
    change(copy, format=number)
    before = state(copy)
    folder = copy / "tiny"
    for words in (
        ("run", copy / "tiny.yaml", "--results", copy),
        ("run", copy / "tiny.yaml", "--results", copy, "--set", "seeds=3"),
        ("plot", folder),
        ("verify", folder),
        ("status", folder),
        ("compare", folder, folder),
    ):
        result = call(*words)
        assert result.exit_code == 2, words
        assert f"the folder has format {number!r}; normbench" in result.stderr, words
        assert "A newer version wrote it" in result.stderr
        assert "Traceback" not in result.stderr
    assert state(copy) == before


def test_a_folder_of_this_format_has_its_number(trained):
    assert json.loads((trained / "tiny" / "environment.json").read_text())["format"] == FORMAT


@pytest.mark.parametrize(
    ("change_of", "said"),
    [
        ({"versions": {"torch": "2.5.1"}}, "torch 2.5.1 before, "),
        ({"cpu": "Another CPU"}, "cpu Another CPU before, "),
        ({"platform": "Windows 11 AMD64", "threads": 8}, "platform Windows 11 AMD64 before, "),
        ({"device": "cuda"}, "device cuda before, cpu now"),
        ({"versions": None, "cpu": None}, None),
        ({}, None),
    ],
    ids=str,
)
def test_another_environment_that_goes_on_is_said_and_recorded(copy, change_of, said):
    sessions = environment.read_sessions(copy / "tiny")
    change(copy, sessions=[{**sessions[-1], **change_of}])
    listener = Listener()
    config = config_file(copy, CONFIG.replace("seeds: 2", "seeds: 3") + CLAIM)
    api.run(config, ["train.steps=20"], results=copy, threads=1, reporter=listener)
    found = [text for text in listener.said if "another environment" in text]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
    old, new = environment.read_sessions(copy / "tiny")
    assert all(old[key] == value for key, value in change_of.items())
    assert new["versions"]["torch"] == sessions[-1]["versions"]["torch"]


def test_claims_stated_beforehand_are_not_remarked_upon(copy):
    assert "not stated beforehand" not in call("verify", copy / "tiny").stderr
    good("run", config_file(copy, CONFIG + CLAIM), "--results", copy, "--no-figures")
    reworded = CLAIM.replace("It helps.", "It helps a lot.").replace("higher", "another_id")
    good("run", config_file(copy, CONFIG + reworded), "--results", copy, "--no-figures")
    assert "not stated beforehand" not in call("verify", copy / "tiny").stderr


@pytest.mark.parametrize(
    ("claims", "late"),
    [
        (CLAIM + SECOND, "claim lower came into the config on "),
        (CLAIM.replace("at_least: 0", "at_least: 0.5"), "claim higher came into the config on "),
    ],
    ids=["added", "changed"],
)
def test_a_claim_that_came_after_results_is_marked(copy, claims, late):
    good("run", config_file(copy, CONFIG + claims), "--results", copy, "--no-figures")
    said = call("verify", copy / "tiny").stderr
    assert late in said
    assert "when 8 runs had a result: not stated beforehand" in said
    assert said.count("not stated beforehand") == 1


def test_a_claim_written_into_the_results_by_hand_is_marked(copy):
    file = copy / "tiny" / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace("difference_at_least: 0", "difference_at_least: 0.3"))
    assert file.read_text() != text
    assert "no run has noted claim higher: written into" in call("verify", copy / "tiny").stderr


def test_claims_of_a_folder_of_version_0_2_have_no_known_date(copy):
    file = copy / "tiny" / "environment.json"
    data = json.loads(file.read_text())
    del data["claims"], data["format"]
    file.write_text(json.dumps(data))
    assert "not stated beforehand" not in call("verify", copy / "tiny").stderr
    good("run", config_file(copy, CONFIG + CLAIM + SECOND), "--results", copy, "--no-figures")
    said = call("verify", copy / "tiny").stderr
    assert "claim lower came into the config on" in said
    assert "higher" not in "".join(line for line in said.splitlines() if "beforehand" in line)
    assert Path(copy / "tiny" / "claims.csv").exists()
