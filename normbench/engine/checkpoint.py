"""A checkpoint: the state of a stack as bytes, and back. The launcher says when and where it is written."""

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


class UnfitError(ValueError):
    """A checkpoint that cannot be gone on from; the text says why."""


def dump_state(state: StackState, run_ids: Sequence[str], executor: str) -> bytes:
    """Return the state as bytes: plain tensors, numbers and names."""
    data = {"for": _fitting(run_ids, executor, state.tail_loss.device), "state": dict(vars(state))}
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


def seal(state: bytes, lengths: Mapping[str, int]) -> bytes:
    """Return a checkpoint: the state with the lengths of its part files, behind a checksum (torch has none).

    Apart from `dump_state`, since the state may come from a worker, and its parent writes the part files.
    """
    body = json.dumps(dict(lengths)).encode() + b"\n" + state
    return b"%s %08x\n" % (FORMAT, zlib.crc32(body)) + body


def load_state(
    data: bytes, run_ids: Sequence[str], executor: str, device: torch.device, *, onto: str | None = None
) -> StackState:
    """Return the state, with its lengths, that a stack of these runs goes on from on this device.

    `onto` names another device to load it to, for a look at it.

    Raises UnfitError when the bytes are damaged, or belong to other runs, another executor or version: the
    numbers could then not be those of a training that was never interrupted.
    """
    head, _, body = data.partition(b"\n")
    if not head.startswith(FORMAT) or head != b"%s %08x" % (FORMAT, zlib.crc32(body)):
        raise UnfitError("it is damaged or no checkpoint of this version")
    try:
        lengths, _, body = body.partition(b"\n")
        stored = torch.load(io.BytesIO(body), map_location=onto or device, weights_only=True)
        made, state = stored["for"], StackState(**stored["state"])
        state.lengths = {str(table): int(size) for table, size in json.loads(lengths).items()}
        _check(state, len(run_ids))
    except UnfitError:
        raise
    except Exception as error:  # whatever an unpickler makes of bytes that are not ours
        raise UnfitError(f"it cannot be read ({type(error).__name__})") from None
    for what, value in _fitting(run_ids, executor, device).items():
        if made.get(what) != value:
            shown = "" if what == "runs" else f" ({made.get(what)}, now {value})"
            raise UnfitError(f"it was made for another {what}{shown}".replace("another runs", "other runs"))
    return state


def _fitting(run_ids: Sequence[str], executor: str, device: torch.device) -> dict[str, Any]:
    """Return what must be the same for the bits to go on as they began."""
    return {
        "runs": list(run_ids),
        "executor": executor,
        "version of normbench": __version__,
        "version of torch": str(torch.__version__),
        "device": device.type,
    }


def _check(state: StackState, runs: int) -> None:
    tensors: list[Mapping[str, Tensor]] = [state.params, state.buffers, *state.optimizer.values()]
    known = set(state.lanes) <= set(range(runs)) and len(set(state.lanes)) == len(state.lanes) > 0
    whole = all(len(tensor) == len(state.padded) for group in tensors for tensor in group.values())
    if not known or not whole or len(state.seconds) != runs or state.step < 1:
        raise UnfitError("its parts do not belong together")
