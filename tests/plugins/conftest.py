"""Each test leaves the process as it was: nothing registered, no module of its folder imported."""

from __future__ import annotations

import sys

import pytest

from normbench import plugins


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path):
    with plugins.unchanged():
        yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
