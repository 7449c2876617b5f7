"""One small experiment with a run that diverged and numbers of any size."""

import pytest
from helpers.results import run, write


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    layers = [(0, "hidden.0", "gradients.norm", 0.1), (100, "hidden.0", "gradients.norm", 1 / 3)]
    runs = []
    for norm in ("none", "batchnorm"):
        for seed in (0, 1):
            own = run(
                {"model.norm": norm, "optimizer.lr": 0.3981071706},
                seed,
                "D" if (norm, seed) == ("none", 1) else "T",
                curve={0: 0.1, 50: 0.12345679, 100: 0.875 + seed / 16},
                start=2.3025851 + seed,
                layers=layers,
                stack="abc",
                executor="vectorized",
            )
            runs.append(own)
    runs[1]["train_loss_last_tenth"] = float("inf")
    return write(tmp_path_factory.mktemp("exports") / "made_up", runs)
