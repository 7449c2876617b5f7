"""A config that trains in a moment, and the commands called within this process."""

from typer.testing import CliRunner

from normbench.cli import app

CONFIG = """\
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 60, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
optimizer: {name: sgd, lr: 0.1}
train: {steps: 20, eval_every: 10}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: [0.1, 1]
"""


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="normbench")


def good(*args):
    result = call(*args)
    assert result.exit_code == 0, result.stderr or result.exception
    return result


def config_file(folder, text=CONFIG):
    path = folder / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path
