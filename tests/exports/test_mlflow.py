"""MLflow's own client finds each number of the CSV files and the settings, after any number of exports."""

import math

import pytest
from helpers.cli import good
from helpers.exports import expected, rows

pytest.importorskip("mlflow", reason="needs normbench[mlflow]")
pytest.importorskip("sqlalchemy", reason="needs normbench[mlflow]")

from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.filterwarnings("default")  # MLflow's own


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("mlflow")
    return place, good("export", folder, "--to", "mlflow", "--output", place)


def runs_in(place):
    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("made_up")
    return client, client.search_runs([experiment.experiment_id])


def test_all_numbers_are_read_back(folder, exported):
    place, result = exported
    client, runs = runs_in(place)
    found = {
        (one.data.tags["normbench.run_id"], name, metric.step): metric.value
        for one in runs
        for name in one.data.metrics
        for metric in client.get_metric_history(one.info.run_id, name)
    }
    wanted = expected(folder)
    finite = {key: value for key, value in wanted.items() if math.isfinite(value)}
    assert found == finite
    assert len(wanted) - len(finite) == 1
    assert "1 numbers are infinite, which MLflow cannot hold" in result.stderr


def test_runs_have_their_settings_and_status(folder, exported):
    _, runs = runs_in(exported[0])
    found = {one.data.tags["normbench.run_id"]: one for one in runs}
    for row in rows(folder, "runs"):
        one = found[row["run_id"]]
        assert one.data.params["model.norm"] == row["model.norm"]
        assert one.data.params["seed"] == row["seed"]
        assert one.data.params["model.depth"] == "2"
        assert one.data.tags["normbench.status"] == row["status"]
        assert one.info.status == "FINISHED"


def test_a_second_export_replaces_what_changed_and_leaves_the_rest(folder, exported):
    place, _ = exported
    client, before = runs_in(place)
    changed, *same = before
    client.set_tag(changed.info.run_id, "normbench.digest", "another")
    good("export", folder, "--to", "mlflow", "--output", place)
    after = {one.info.run_id for one in runs_in(place)[1]}
    assert after >= {one.info.run_id for one in same}
    assert changed.info.run_id not in after
    assert len(after) == len(before)
