import pytest
from helpers.synthetic import RATES, write_results

BETTER = {"of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}}
EACH = ["model.depth", "model.activation"]
CLAIMS = [
    {
        **{"id": "C2", "statement": "Batch normalization allows larger rates, costs $5 & is <long> to read."},
        **{"measure": "max_stable_lr", "for_each": EACH, "expect": {"ratio_at_least": 3}, **BETTER},
    },
    {
        **{"id": "C10", "statement": "It is worse.", "measure": "final_accuracy"},
        **{"expect": {"difference_at_most": 0}, **BETTER},
    },
    {
        **{"id": "deep", "statement": "Deeper is better.", "measure": "final_loss", "over": "model.depth"},
        **{"of": {"model.norm": "none"}, "expect": {"decreases": True}},
    },
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The main job's axes, thinned: 7 normalizations x 2 depths x 2 activations x 6 rates x 3 seeds."""
    axes = {
        "model.norm": ["none", "batchnorm", "layernorm", "weightnorm", "mean_only_batchnorm", "selu"],
        "model.depth": [3, 10],
        "model.activation": ["sigmoid", "relu"],
        "optimizer.lr": RATES[::2],
    }
    where = tmp_path_factory.mktemp("full") / "full"
    return write_results(where, axes=axes, seeds=3, title="Costs $5, or $6 & <more>", claims=CLAIMS)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The quickstart's axes: with and without batch normalization, 11 rates, 5 seeds."""
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES}
    return write_results(tmp_path_factory.mktemp("small") / "small", axes=axes)
