"""The executors by name."""

from __future__ import annotations

from normbench.engine.executor import Executor
from normbench.engine.looped import Looped
from normbench.engine.vectorized import Vectorized

EXECUTORS: dict[str, type[Executor]] = {"vectorized": Vectorized, "looped": Looped}
