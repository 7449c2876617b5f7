"""Turns the state of a stack into a checkpoint, and back. The launcher decides when and where to write it."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from normbench._version import __version__
from normbench.engine.state import StackState

FORMAT = b"normbench checkpoint 1"
# The versions of normbench that train with the same bits, this one included: each continues the checkpoints
# of the others. A version that changes the numbers of a training must start a new tuple.
SAME_BITS = ("0.1.0", "0.2.0")


class UnfitError(ValueError):
    """A checkpoint that a stack cannot continue from; the text gives the reason."""


def dump_state(state: StackState, run_ids: Sequence[str], executor: str) -> bytes:
    """Return the state as bytes, with what it was made by."""
    origin = _origin(run_ids, executor, state.tail_loss.device)
    buffer = io.BytesIO()
    torch.save({"for": origin, "state": dict(vars(state))}, buffer)
    return buffer.getvalue()


def seal(state: bytes, lengths: Mapping[str, int]) -> bytes:
    """Return a checkpoint: a checksum, the lengths of the part files, and the state of `dump_state`.

    This is a step of its own because a worker process makes the state and its parent writes the part files.
    """
    body = json.dumps(dict(lengths)).encode() + b"\n" + state
    return b"%s %08x\n" % (FORMAT, zlib.crc32(body)) + body


def load_state(
    data: bytes, run_ids: Sequence[str], executor: str, device: torch.device, *, onto: str | None = None
) -> StackState:
    """Return the state of a checkpoint, including the lengths of its part files.

    Args:
        data: the checkpoint as `seal` returned it.
        run_ids: of the stack that continues from it, in order.
        executor: of that stack.
        device: that trains that stack.
        onto: the device to load the tensors to, if not `device`.

    Returns:
        The state, with tensors (R, ...).

    Raises:
        UnfitError: the bytes are damaged, or were made by other runs, another executor, another type of
            device or another version. The numbers could then differ from those of an uninterrupted training.
    """
    origin, state = _stored(data, onto or device)
    if not _is_consistent(state, len(run_ids)):
        raise UnfitError("its parts do not belong together")
    _check_origin(origin, _origin(run_ids, executor, device))
    return state


def members(data: bytes) -> tuple[list[str], str]:
    """Return the ids of the runs that a checkpoint was made of, and their executor.

    Raises:
        UnfitError: the bytes are damaged.
    """
    origin, _ = _stored(data, "cpu")
    return [str(run_id) for run_id in origin.get("runs", ())], str(origin.get("executor"))


def _stored(data: bytes, device: torch.device | str) -> tuple[dict[str, Any], StackState]:
    """Return what a checkpoint was made by, and its state on the device; UnfitError if it is damaged."""
    head, _, body = data.partition(b"\n")
    if not head.startswith(FORMAT) or head != b"%s %08x" % (FORMAT, zlib.crc32(body)):
        raise UnfitError("it is damaged, or has another format than this version reads")
    try:
        lengths, _, body = body.partition(b"\n")
        stored = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
        origin, state = dict(stored["for"]), StackState(**stored["state"])
        state.lengths = {str(table): int(size) for table, size in json.loads(lengths).items()}
        _is_consistent(state, 0)
    except Exception as error:  # an unpickler may raise anything on bytes that are not ours
        raise UnfitError(f"it cannot be read ({type(error).__name__})") from None
    return origin, state


def _origin(run_ids: Sequence[str], executor: str, device: torch.device) -> dict[str, Any]:
    """Return everything besides the state that the bits of a training depend on."""
    return {
        "runs": list(run_ids),
        "executor": executor,
        "version of normbench": __version__,
        "version of torch": str(torch.__version__),
        "device": device.type,
    }


def _check_origin(stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `UnfitError` if a state of the one origin would continue with other bits under the other."""
    if stored.get("runs") != now["runs"]:
        raise UnfitError("it was made by other runs")
    for what in ("executor", "version of normbench", "version of torch", "device"):
        if stored.get(what) not in (SAME_BITS if what == "version of normbench" else (now[what],)):
            raise UnfitError(f"it was made by another {what} ({stored.get(what)}, now {now[what]})")


def _is_consistent(state: StackState, runs: int) -> bool:
    """Return whether the parts of a state fit together and to a stack of this many runs."""
    sums = {"loss": state.train_loss, "correct": state.train_correct, "tail": state.tail_loss}
    tensors: list[Mapping[str, Tensor]] = [state.params, state.buffers, *state.optimizer.values(), sums]
    known = set(state.lanes) <= set(range(runs)) and len(set(state.lanes)) == len(state.lanes) > 0
    whole = all(len(tensor) == len(state.padded) for group in tensors for tensor in group.values())
    return known and whole and len(state.seconds) == runs and state.step >= 1
