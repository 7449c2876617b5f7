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
REPORTED = CLAIM.replace("It helps.,", "It helps., reports: 'figure 1: helps',")
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
    for claim in (reworded, REPORTED):
        good("run", config_file(copy, CONFIG + claim), "--results", copy, "--no-figures")
        assert "not stated beforehand" not in call("verify", copy / "tiny").stderr
    assert "reports" in (copy / "tiny" / "config.yaml").read_text()


def notes_of(folder):
    return environment.read_claims(folder / "tiny")


def test_notes_that_hold_what_a_source_reports_count_with_and_without_it(copy):
    """Notes held `reports` once: a claim noted with it is found when the words come, change or go."""
    (note,) = notes_of(copy)
    change(copy, claims=[{**note, "claim": {**note["claim"], "reports": "figure 1: twice as fast"}}])
    before = notes_of(copy)
    for claim in (CLAIM, REPORTED):
        good("run", config_file(copy, CONFIG + claim), "--results", copy, "--no-figures")
        assert notes_of(copy) == before
        assert "not stated beforehand" not in call("verify", copy / "tiny").stderr
    good("run", config_file(copy, CONFIG + REPORTED + SECOND), "--results", copy, "--no-figures")
    assert len(notes_of(copy)) == 2
    assert "claim lower came into the config on" in call("verify", copy / "tiny").stderr


@pytest.mark.parametrize("late_first", [False, True])
def test_of_two_notes_that_differ_in_the_reports_alone_the_older_one_counts(copy, late_first):
    """Adding `reports` after training once made a second note."""
    (note,) = notes_of(copy)
    late = {"since": "2026-01-02T00:00:00Z", "results": 8}
    reported = {**note["claim"], "reports": "twice as fast"}
    first, second = (late, {}) if late_first else ({}, late)
    change(copy, claims=[{**note, **first}, {**note, "claim": reported, **second}])
    good("run", config_file(copy, CONFIG + REPORTED), "--results", copy, "--no-figures")
    assert ("when 8 runs had a result" in call("verify", copy / "tiny").stderr) == late_first


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
