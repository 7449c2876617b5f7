"""TensorBoard's own reader finds each number of the CSV files, rounded to float32, and the settings."""

import numpy as np
import pytest
from helpers.cli import good
from helpers.exports import expected

pytest.importorskip("tensorboard", reason="needs normbench[tensorboard]")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData


def opened(place):
    found = {}
    for path in sorted((place / "made_up").iterdir()):
        found[path.name.rpartition(",")[2]] = EventAccumulator(str(path)).Reload()
    return found


def test_all_numbers_are_read_back(folder, tmp_path):
    for _ in range(2):  # the second export replaces the first one
        good("export", folder, "--to", "tensorboard", "--output", tmp_path)
    found = {
        (run_id, tag, one.step): one.value
        for run_id, events in opened(tmp_path).items()
        for tag in events.Tags()["scalars"]
        for one in events.Scalars(tag)
    }
    wanted = expected(folder, "results/{}", "metrics/{}", "layers/{}")
    assert found.keys() == wanted.keys()
    assert all(np.float32(found[key]) == np.float32(value) for key, value in wanted.items())
    assert np.inf in found.values()
    assert len(wanted) > 50


def test_the_hyperparameters_are_all_settings(folder, tmp_path):
    good("export", folder, "--to", "tensorboard", "--output", tmp_path)
    seen = set()
    for events in opened(tmp_path).values():
        metadata = events.SummaryMetadata("_hparams_/session_start_info")
        data = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
        assert data["model.depth"].number_value == 2  # not swept
        assert data["optimizer.lr"].number_value == 0.3981071706
        seen.add((data["model.norm"].string_value, data["seed"].number_value))
    assert seen == {("none", 0), ("none", 1), ("batchnorm", 0), ("batchnorm", 1)}
