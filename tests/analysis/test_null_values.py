"""An option that is null is judged as a value of its own; a variant without it has every value."""

import pytest
import yaml
from helpers.judging import numbers
from helpers.results import claim, run, write

from normbench.analysis.judge import judge
from normbench.analysis.tables import load_tables
from normbench.config import parse_config
from normbench.config.members import belongs
from normbench.measures.claim import Claim

GHOST = "model.norm.ghost"
FORMS = {
    "axis": {"model.norm": ["none", "batchnorm"], GHOST: [None, 20]},
    "mapping": {"model.norm": ["none", "batchnorm", {"name": "batchnorm", "ghost": 20}]},
    "zip": {"zip": [{"model.norm": ["none", "batchnorm", "batchnorm"], GHOST: [None, None, 20]}]},
    "include": {"model.norm": ["none"], "include": [{"model.norm": "batchnorm", GHOST: [None, 20]}]},
    "default": {"model.norm": ["none", "batchnorm"], "include": [{"model.norm": "batchnorm", GHOST: 20}]},
}
ACCURACY = {("none", None): 0.5, ("batchnorm", None): 0.9, ("batchnorm", 20): 0.7}
BN, NONE = {"model.norm": "batchnorm"}, {"model.norm": "none"}
FILTERS = [
    ({**BN, GHOST: 20}, {**BN, GHOST: None}, -0.2),
    ({**BN, GHOST: [20]}, {**BN, GHOST: [None]}, -0.2),
    ({**BN, GHOST: None}, NONE, 0.4),
    ({**BN, GHOST: 20}, NONE, 0.2),
    ({**BN, GHOST: [None, 20]}, NONE, 0.3),  # the mean of both
    (BN, NONE, 0.3),
    ({**BN, GHOST: 20}, {**NONE, GHOST: 20}, 0.2),  # `none` has no such option
    ({**BN, GHOST: None}, {**NONE, GHOST: None}, 0.4),
]


def tables(folder, sweep, accuracy=ACCURACY, keys=("model.norm", GHOST), seeds=6):
    """Return made-up runs, one accuracy for each combination, with the sweep as the config states it."""
    runs = [
        run(dict(zip(keys, values, strict=True)), seed, final_test_accuracy=mean + 0.001 * (seed % 2))
        for values, mean in accuracy.items()
        for seed in range(seeds)
    ]
    write(folder, runs)
    path = folder / "config.yaml"
    config = {**yaml.safe_load(path.read_text(encoding="utf-8")), "sweep": sweep}
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    found = load_tables(folder)
    assert found.notes == ()
    return found


def verdicts(found, of, against, **more):
    plain = claim("final_accuracy", of, against, expect={"difference_at_least": 0}, **more)
    return judge(Claim.model_validate(plain), found)


@pytest.mark.parametrize("form", FORMS)
def test_a_filter_takes_the_runs_that_it_names(tmp_path, form):
    found = tables(tmp_path, FORMS[form])
    for of, against, difference in FILTERS:
        (one,) = verdicts(found, of, against)
        assert numbers(one) == (difference,) * 3, (of, against, one.reason)
        assert one.verdict == ("supported" if difference > 0 else "refuted")


@pytest.mark.parametrize("form", FORMS)
def test_each_value_has_a_verdict_and_null_is_one(tmp_path, form):
    found = verdicts(tables(tmp_path, FORMS[form]), BN, NONE, for_each=[GHOST])
    assert {one.at[GHOST]: one.estimate for one in found} == pytest.approx({20: 0.2, None: 0.4})


@pytest.mark.parametrize("form", FORMS)
def test_the_plan_takes_the_same_cells(tmp_path, form):
    found = tables(tmp_path, FORMS[form])
    cells = parse_config((tmp_path / "config.yaml").read_text(encoding="utf-8")).cells
    assert len(cells) == 3
    for of, against, _ in FILTERS:
        for wanted in (of, against):
            planned = [cell.values for cell in cells if belongs(cell, wanted)]
            mean = sum(ACCURACY[one["model.norm"], one[GHOST]] for one in planned) / len(planned)
            (one,) = verdicts(found, wanted, {"value": 0})
            assert one.estimate == pytest.approx(mean + 0.0005), wanted


SIZE = "data.train_size"


@pytest.mark.parametrize("against_at_all", [0.5, 0.6])
def test_cells_of_a_key_that_the_claim_does_not_name_match_by_null(tmp_path, against_at_all):
    sweep = {"model.norm": ["none", "batchnorm"], SIZE: [None, 100]}
    accuracy = {("none", None): against_at_all, ("none", 100): 0.1, ("batchnorm", None): 0.9}
    accuracy["batchnorm", 100] = 0.2
    found = tables(tmp_path, sweep, accuracy, ("model.norm", SIZE))
    assert set(found.runs["lacks"]) == {"none"}
    (both,) = verdicts(found, BN, NONE)
    assert both.estimate == pytest.approx(((0.9 - against_at_all) + (0.2 - 0.1)) / 2)
    assert "mean over 2 cells" in both.reason
    (all_images,) = verdicts(found, {**BN, SIZE: None}, {**NONE, SIZE: None})
    assert all_images.estimate == pytest.approx(0.9 - against_at_all)


def test_words_beside_null(tmp_path):
    key = "model.init.std"
    sweep = {"model.init.scheme": ["he", "normal"], key: [0.01, 0.02]}
    accuracy = {("he", None): 0.5, ("normal", 0.01): 0.6, ("normal", 0.02): 0.8}
    found = tables(tmp_path, sweep, accuracy, ("model.init.scheme", key))
    normal, he = {"model.init.scheme": "normal"}, {"model.init.scheme": "he"}
    values = {one.at[key]: one.estimate for one in verdicts(found, normal, he, for_each=[key])}
    assert values == pytest.approx({0.01: 0.1, 0.02: 0.3})  # He's has no such number, whatever it is given


def test_a_trend_over_null_is_not_judged(tmp_path):
    found = tables(tmp_path, FORMS["axis"])
    plain = claim("final_accuracy", BN, over=GHOST, expect={"increases": True})
    (one,) = judge(Claim.model_validate(plain), found)
    assert one.verdict == "inconclusive"
    assert one.reason.startswith(f"over {GHOST}: one of its values is null, and a trend needs numbers")


def test_a_result_whose_cells_are_unknown_says_what_is_assumed(tmp_path):
    tables(tmp_path, FORMS["axis"])
    path = tmp_path / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["sweep"]["model.norm"] = ["none", "gone"]  # as of a plug-in that is not here
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    found = load_tables(tmp_path)
    (note,) = found.notes
    assert note.startswith("config.yaml does not give the cells of some runs (")
    assert "'gone'" in note
    assert note.endswith(
        f"where {GHOST} is empty, they are taken to have no such option, and match every value of it"
    )
    assert found.runs.groupby("model.norm")["lacks"].agg(set).to_dict() == {
        "none": {GHOST},
        "batchnorm": {"none", GHOST},
    }
