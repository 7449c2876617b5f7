"""Names that several parts share: config keys, columns, words of the records, choices. Each stands once.

No module of torch or pandas is imported here, so that the command line can use it at once.
"""

from __future__ import annotations

# Dotted keys of the config that the code itself asks for.
RATE = "optimizer.lr"
VARIANT = "model.norm"
ACTIVATION = "model.activation"
POSITION = "model.norm_position"
DROPOUT_RATE = "model.dropout.rate"
DROPOUT_PLACEMENT = "model.dropout.placement"
STEPS = "train.steps"
TRAINS_BELOW = "train.trains_below"
MAX_SEEDS = 10_000  # of a config that counts them

# How a run ended.
RESULTS = ("finished", "diverged")  # a run with such a status is never trained again
ENDED = (*RESULTS, "crashed")
STATUSES = (*ENDED, "interrupted", "pending")
OUTCOMES = ("trains", "stuck", "diverged")  # of a run with a result
FAILED = ("diverged", "crashed")  # outcomes without a final loss

# What is measured, and on which part of the data.
PARTS = ("train", "val", "test")
QUANTITIES = tuple(f"{part}_{what}" for part in PARTS for what in ("loss", "accuracy"))
NET = "net"  # the layer of what a probe measures of the whole net

# Choices of the command line.
DEVICES = ("auto", "cpu", "cuda", "mps")
EXECUTORS = ("auto", "compiled", "vectorized", "looped", "eager")
WHOLE_STACK = ("compiled", "vectorized")  # executors that run all lanes of a stack as one program
LAUNCHERS = ("auto", "local", "processes", "ray")
FORMATS = ("png", "svg", "pdf")
