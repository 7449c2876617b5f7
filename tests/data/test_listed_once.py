"""A folder of images is listed once while a plan is made, and anew afterwards."""

import pytest

from normbench.data import listed_once, listing
from normbench.data.listing import scan
from normbench.errors import DataError


@pytest.fixture
def root(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "0.png").write_bytes(b"image")
    return tmp_path


def test_a_block_lists_a_folder_once(root, monkeypatch):
    looked = []
    whole = listing._scan
    monkeypatch.setattr(listing, "_scan", lambda place: looked.append(place) or whole(place))
    with listed_once():
        first = scan(root)
        with listed_once():
            assert scan(root) is first
        assert scan(root) is first
        assert len(looked) == 1
    (root / "train" / "a" / "1.png").write_bytes(b"another")
    second = scan(root)
    assert len(second.train) == len(first.train) + 1
    assert second.stamp != first.stamp
    scan(root)
    assert len(looked) == 3


def test_a_refused_folder_is_looked_at_again(root):
    wrong = root / "train" / "c"
    wrong.mkdir()
    with listed_once():
        with pytest.raises(DataError, match="one part only"):
            scan(root)
        wrong.rmdir()
        assert scan(root).class_names == ("a", "b")
