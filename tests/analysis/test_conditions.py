"""What conditions on runs mean, and that nothing else is computed."""

import pytest

from normbench.analysis.conditions import read_condition, refuse_unknown
from normbench.errors import NormbenchError

ROW = {
    **{"model.norm": "batchnorm", "model": "mlp", "model.depth": 5, "optimizer.lr": 0.1, "seed": 2},
    **{"diverged_at_step": None, "final_test_loss": 0.5, "final_train_loss": 0.25, "data.binarize": "false"},
    "train_loss_last_tenth": float("inf"),
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("model.norm == 'batchnorm'", True),
        ("where model.norm == 'batchnorm'", True),
        ("model.norm.name == 'batchnorm' and model.name == 'mlp'", True),
        ("model.norm != 'batchnorm'", False),
        ("model.norm in ['none', 'batchnorm']", True),
        ("model.norm not in ('none', 'layernorm')", True),
        ("optimizer.lr >= 0.1 and seed < 2", False),
        ("optimizer.lr >= 0.1 or seed < 2", True),
        ("not (seed == 2)", False),
        ("0.01 < optimizer.lr <= 0.1", True),
        ("0.01 < optimizer.lr < 0.1", False),
        ("final_test_loss - final_train_loss > 0.2", True),
        ("final_test_loss / final_train_loss == 2", True),
        ("optimizer.lr * model.depth + -seed < -1", True),
        ("seed / 0 > 1", False),  # unknown
        ("diverged_at_step > 0", False),
        ("diverged_at_step <= 0", False),
        ("diverged_at_step != 3", True),
        ("diverged_at_step == None", True),
        ("diverged_at_step is not None", False),
        ("seed == None", False),
        ("diverged_at_step == nowhere", False),  # two empty cells are not equal
        ("diverged_at_step in [1, None]", True),
        ("data.binarize == False", True),
        ("data.binarize == false", True),
        ("data.binarize == 'false'", True),
        ("train_loss_last_tenth > 1e300", True),
        ("'a' < model.norm < 'c'", True),
    ],
)
def test_a_condition_holds_or_not(text, holds):
    assert read_condition(text).holds(ROW) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.norm > 3", r"character 1: model.norm is the text 'batchnorm' and 3 is the number 3"),
        ("seed == 'x'", "cannot be compared"),
        (
            "seed == 2 and model.norm + 1 == 2",
            "character 15: model.norm is the text 'batchnorm', which is no",
        ),
        ("seed", "seed is no condition"),
        ("seed == 2 and 1", "1 is no condition"),
        ("(seed == 2) < 3", "a condition and 3 is the number"),
    ],
)
def test_what_cannot_be_computed_is_said_with_its_place(text, said):
    with pytest.raises(NormbenchError, match=said):
        read_condition(text).holds(ROW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("seed = 2", "character 6.*== for equal"),
        ("seed == 2 & seed == 3", "write `and` for &"),
        ("seed == 2 AND seed == 3", "cannot be read"),
        ("open('x')", "has no meaning here"),
        ("model.norm.__class__('x') == 1", "has no meaning here"),
        ("().__class__ == 1", "has no meaning here"),
        ("seed[0] == 1", "has no meaning here"),
        ("[x for x in seed]", "has no meaning here"),
        ("lambda: 1", "has no meaning here"),
        ("(seed := 2) == 2", "has no meaning here"),
        ("f'{seed}' == '2'", "has no meaning here"),
        ("9 ** 9 ** 9 > 1", "has no meaning here"),
        ("seed << 999 > 1", "has no meaning here"),
        ("seed == b'x'", "neither a number nor a text"),
        ("seed == 1j", "neither a number nor a text"),
        ("seed == 1e999", "too large"),
        (f"seed == {'9' * 400}", "too large"),
        ("seed in model.norm", "is no list"),
        ("'x' in 'xyz'", "is no list"),
        ("(" * 300 + "seed" + ")" * 300, "cannot be read"),
        ("not " * 900 + "seed == 1", "deeply nested|simpler|cannot be read"),
        ("seed == 1 or " * 400 + "seed == 2", "longer than 4,000 characters"),
        ("seed == 1\0", "cannot be read"),
        ("a; b", "cannot be read"),
    ],
)
def test_what_has_no_meaning_is_refused_before_a_run_is_looked_at(text, said):
    with pytest.raises(NormbenchError, match=said):
        read_condition(text).holds({})


def test_attributes_of_python_are_only_names_of_columns():
    condition = read_condition("model.norm.__class__ == 'x'")
    assert condition.names == ("model.norm.__class__",)
    assert not condition.holds(ROW)


def test_unknown_names_are_refused_with_the_near_one():
    with pytest.raises(NormbenchError, match=r"called model\.nrm; did you mean 'model\.norm'\?"):
        refuse_unknown(read_condition("model.nrm == 'x'"), ROW)
    with pytest.raises(NormbenchError, match="a text needs quotes: 'batchnorm'"):
        refuse_unknown(read_condition("model.norm == batchnorm"), ROW)
    refuse_unknown(read_condition("model.norm == 'x' and seed.name == 1 and true == 'true'"), ROW)
