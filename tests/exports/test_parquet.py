"""pandas reads the columns of the CSV files back, with their numbers and texts."""

import numpy as np
import pandas as pd
import pytest
from helpers.cli import good

pytest.importorskip("pyarrow", reason="needs normbench[parquet]")


@pytest.mark.parametrize("name", ["runs", "metrics", "layers"])
def test_all_cells_are_read_back(folder, tmp_path, name):
    good("export", folder, "--to", "parquet", "--output", tmp_path)
    found = pd.read_parquet(tmp_path / "made_up" / f"{name}.parquet")
    plain = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values={})
    assert list(found.columns) == list(plain.columns)
    assert len(found) == len(plain)
    for column in found.columns:
        values = found[column]
        texts = plain[column].astype(str)
        if values.dtype.kind in "if":
            wanted = np.array([float(text or "nan") for text in texts]).astype(values.dtype)
            assert np.array_equal(values, wanted, equal_nan=True)
        else:
            assert values.astype(object).where(values.notna(), "").astype(str).tolist() == texts.tolist()


def test_settings_have_what_is_not_swept(folder, tmp_path):
    good("export", folder, "--to", "parquet", "--output", tmp_path)
    found = pd.read_parquet(tmp_path / "made_up" / "settings.parquet")
    assert found["run_id"].tolist() == pd.read_csv(folder / "runs.csv")["run_id"].tolist()
    assert set(found["model.depth"]) == {2}
    assert found["model.norm"].tolist() == ["none", "none", "batchnorm", "batchnorm"]
