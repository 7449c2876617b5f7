"""The rule of the looks: weights, the smallest alpha, corrections, and the file that records looks."""

import math

import pytest
from scipy import stats

from normbench.errors import RecordsError
from normbench.records.looks import COLUMNS, RecordedLook, read_looks, write_looks
from normbench.stats.corrections import benjamini_hochberg, holds, holm
from normbench.stats.decide import decide
from normbench.stats.intervals import exactly
from normbench.stats.looks import LOOKS, Look, over_looks, smallest_alpha, weights_of

UP = (0.0, math.inf)


def alpha(values, estimator="t", region=UP, strict=False):
    spans = [exactly(value) for value in values]
    return smallest_alpha(lambda level: decide(spans, estimator, region, 1 - level, strict=strict).word)


@pytest.mark.parametrize("estimator", ["t", "median", "signed_rank"])
def test_the_weights_of_all_looks_sum_to_1(estimator):
    weights = weights_of(estimator)
    assert math.isclose(sum(weights.values()), 1)
    assert list(weights) == [n for n in LOOKS if estimator == "t" or n >= 8]


@pytest.mark.parametrize("values", [[0.1, 0.3, 0.2, 0.4, -0.1], [-1, -2, -3.0], [1, 1.1, 0.9, 1.05, 1, 0.97]])
def test_the_smallest_alpha_of_a_mean_is_the_p_value_of_students_test(values):
    p, word = alpha(values)
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-4)
    assert word == ("refuted" if sum(values) < 0 else "supported")


def test_the_smallest_alpha_of_medians_and_signed_ranks_is_exact():
    values = [0.11, 0.32, 0.53, 0.24, 0.95, 0.46, 0.77, -0.08]
    assert alpha(values, "median")[0] == pytest.approx(stats.binomtest(1, 8).pvalue, rel=1e-4)
    assert alpha(values, "signed_rank")[0] == pytest.approx(stats.wilcoxon(values).pvalue, rel=1e-4)
    assert alpha(values[:7], "median")[0] == pytest.approx(2 / 2**7, rel=1e-4)


def test_what_no_level_decides_has_an_alpha_of_1():
    assert alpha([0.0] * 8) == (1.0, "inconclusive")  # at the bound, seeds have no sign
    assert alpha([0.5]) == (1.0, "inconclusive")
    p, word = alpha([0.4] * 6)  # ties: the sign test
    assert (p, word) == (pytest.approx(2 / 2**6, rel=1e-4), "supported")


def test_a_word_that_turns_at_a_stricter_level_has_the_alpha_of_its_own_word():
    words = {True: "refuted", False: "supported"}
    p, word = smallest_alpha(lambda level: words[level <= 1 - 0.03])
    assert (p, word) == (pytest.approx(0.03, rel=1e-4), "refuted")


def test_over_looks_the_smallest_share_of_its_weight_counts():
    weights = weights_of("t")
    looks = [Look(5, 0.03, "refuted"), Look(8, 0.004, "supported"), Look(12, 0.01, "supported")]
    assert over_looks(looks, weights) == (0.02, looks[1])
    assert over_looks(looks[:1], weights) == (pytest.approx(0.1), looks[0])
    assert over_looks([Look(5, 1.0, "inconclusive")], weights) == (1.0, None)
    assert over_looks([Look(6, 1e-6, "supported")], weights) == (1.0, None)  # not a look that was planned
    assert over_looks([Look(5, 1e-6, "supported")], weights_of("median")) == (1.0, None)


def test_corrections_against_scipy_and_by_hand():
    values = [0.03, 0.001, 0.2, 0.012, 1.0]
    assert benjamini_hochberg(values) == pytest.approx(stats.false_discovery_control(values))
    assert holm(values) == pytest.approx([0.09, 0.005, 0.4, 0.048, 1.0])
    assert holm([]) == benjamini_hochberg([]) == []
    assert [holds(p) for p in (0.05, 0.05 + 1e-12, 0.0501)] == [True, True, False]


LOOK = RecordedLook("C2", "depth 3, =1", 1, (0, 1, 2, 7, 9), 0.0032, "supported", "2026-11-27T21:19:24Z")


def test_recorded_looks_are_read_as_they_were_written(tmp_path):
    assert read_looks(tmp_path) == []
    later = RecordedLook("C2", "depth 3, =1", 2, (0, 1, 2, 7, 9, 10, 11, 12), 1.0, "inconclusive", "x")
    other = RecordedLook("C3", "", 1, (0, 1, 2, 7, 9, 10, 11, 12), 1e-9, "refuted", "x")
    write_looks(tmp_path, [LOOK, other, later])
    assert read_looks(tmp_path) == [LOOK, other, later]
    assert (tmp_path / "looks.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.0032", "1.5"),
        ("0.0032", "nan"),
        ("0.0032", ""),
        (",1,5,", ",1,4,"),
        (",1,5,", ",2,5,"),
        ("supported", "proven"),
        ("0 1 2 7 9", "0 1 2 7 7"),
        ("0 1 2 7 9", "0 1 2 7 -9"),
        ("0 1 2 7 9", ""),
        ("id,", "name,"),
        (",2026", ",x,2026"),
        (",1,5,", ",1,6,"),
        (",1,5,0.0032", ",1,6,0.0032"),
        ("0 1 2 7 9", "0 1 2 7"),
        ("Z,0 1 2 7 9\n", "Z,0 1 2 7 9\nC3,,1,5,1,inconclusive,x,0 1 2 7 8\n"),
        ("Z,0 1 2 7 9\n", "Z,0 1 2 7 9\nC3,,2,5,1,inconclusive,x,0 1 2 7 9\n"),
    ],
)
def test_a_look_that_normbench_did_not_write_is_refused_with_its_line(tmp_path, old, new):
    write_looks(tmp_path, [LOOK])
    path = tmp_path / "looks.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(RecordsError, match=r"looks\.csv:[123]: "):
        read_looks(tmp_path)


def test_an_empty_file_of_looks_and_one_that_is_no_text(tmp_path):
    (tmp_path / "looks.csv").write_bytes(b"")
    with pytest.raises(RecordsError, match="it is empty"):
        read_looks(tmp_path)
    (tmp_path / "looks.csv").write_bytes(b"\xff\xfe\0\0\n")
    with pytest.raises(RecordsError, match=r"looks\.csv:1"):
        read_looks(tmp_path)
