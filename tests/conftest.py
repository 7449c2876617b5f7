"""One thread for each test process: the nets are tiny, and `pytest -n` starts a process for each core."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
