"""Train four small sweeps with two checkouts of normbench, and compare what they measure byte for byte.

    python tests/helpers/four_sweeps/compare.py CHECKOUT OTHER_CHECKOUT

Equal bytes are only expected on one machine, so this is a script for a change of the engine and not a test.
The exit code is 1 if a file differs. Each sweep is trained by both executors with one thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SWEEPS = ("mlp_dropout", "cnn_augment", "lstm", "plugin_norm")
TABLES = ("metrics.csv", "layers.csv")


def trained(checkout: Path, sweep: str, executor: str, place: str) -> dict[str, bytes]:
    """Train one sweep with the code of a checkout; return the bytes of its tables by name."""
    results = Path(place) / checkout.name / executor
    options = ["--plugin", HERE / "plugin_norm.py"] if sweep == "plugin_norm" else []
    command = [sys.executable, "-m", "normbench", "run", HERE / f"{sweep}.yaml", "--results", results]
    command += ["--device", "cpu", "--executor", executor, "--threads", "1", "--launcher", "local", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{checkout} cannot train {sweep}:\n{done.stderr}")
    folder = results / sweep
    return {name: (folder / name).read_bytes() for name in TABLES if (folder / name).exists()}


def main(first: Path, second: Path) -> int:
    different = 0
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as other_place:
        for sweep in SWEEPS:
            for executor in ("vectorized", "looped"):
                one = trained(first, sweep, executor, place)
                other = trained(second, sweep, executor, other_place)
                assert "metrics.csv" in one, f"{first} measured nothing"
                for name in sorted(one.keys() | other.keys()):
                    same = one.get(name) == other.get(name)
                    rows = one.get(name, b"").count(b"\n") - 1
                    verdict = "equal" if same else "DIFFERENT"
                    print(f"{sweep}, {executor}, {name}: {rows} rows, {verdict}", flush=True)
                    different += not same
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
