"""The workers on a Ray cluster that train the stacks of a round, and what is done when some are lost.

Ray starts workers where there is room, also on nodes that come later. A stack whose worker or node is lost
goes on from its last checkpoint with another worker. After two losses without a checkpoint in between it
waits until the others are done, and then trains alone on its node. So the third loss is its own doing: a
stack that took its node along each time has crashed, with all its runs; one that only lost its worker is
halved like a stack whose memory ran out.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from normbench.errors import NormbenchError
from normbench.launch.faults import Fault
from normbench.launch.messages import Assignment, Checkpoint, Ending, Failed, Message, Refused
from normbench.launch.ray_worker import Ready, Setup, Trainer
from normbench.launch.recorder import Recorder, stack_name
from normbench.planning.runs import Stack
from normbench.records.environment import cpu_model

TRIES = 3  # a stack that is lost this often between two checkpoints is not tried again
WAIT_SECONDS = 0.5  # between two looks at `should_stop`
PATIENCE = 30.0  # seconds without a worker after which the user is told why
MOST_UNSTARTED = 10  # workers in a row that end before they have started

NAMES = {"num_cpus": "CPU", "num_gpus": "GPU"}  # of resources: as an option of a worker, and of a node

_ACTOR: Any = ray.remote(Trainer)


class Worker:
    """An actor, as the driver sees it.

    Attributes:
        node: where it is, from its start on.
        stack: that it trains.
        reply: the reference of its next answer; None if it has nothing to do.
    """

    def __init__(self, share: Mapping[str, float], setup: Setup) -> None:
        self.actor = _ACTOR.options(**share).remote()
        self.reply: Any = self.actor.ready.remote(setup)
        self.node: str | None = None
        self.processor = ""
        self.stack: Stack | None = None

    def train(self, assignment: Assignment, images: Any) -> None:
        """Let it begin with a stack; `images` is the reference of the data set."""
        self.stack = assignment.stack
        self.reply = self.actor.train.remote(assignment, images)

    def go_on(self) -> None:
        """Ask for its next messages."""
        self.reply = self.actor.take.remote()

    def stop(self) -> None:
        """Let its stack end with a checkpoint."""
        self.actor.stop.remote()

    def rest(self) -> None:
        """Note that its stack has ended."""
        self.stack, self.reply = None, None

    def dismiss(self) -> None:
        """End the actor, whatever it does."""
        with contextlib.suppress(RayError, RuntimeError, ValueError):  # it, or the cluster, is gone
            ray.kill(self.actor)


class Crew:
    """The workers that train some stacks.

    Args:
        share: the resources of each worker, by the names of Ray's options.
        setup: that each worker gets.
        images: returns the reference of a stack's data set.
        most: the largest number of workers; None for as many as there is room for.
        recorder: takes what the workers tell.
        stacks: to train.

    Attributes:
        left: stacks that wait for a worker.
        suspects: stacks that wait to train alone on a node.
        workers: all that were hired and are not lost.
        losses: for each stack, the nodes on which it was lost since its last checkpoint.
    """

    def __init__(
        self,
        share: Mapping[str, float],
        setup: Setup,
        images: Callable[[Stack, Assignment], Any],
        most: int | None,
        recorder: Recorder,
        stacks: Sequence[Stack],
    ) -> None:
        self.share, self.setup, self.images, self.most = share, setup, images, most
        self.recorder = recorder
        self.left: deque[Stack] = deque(stacks)
        self.suspects: deque[Stack] = deque()
        self.workers: list[Worker] = []
        self.losses: defaultdict[str, list[str]] = defaultdict(list)
        self._stopping = False
        self._room = sum(_slots(node, share) for node in _nodes())  # for workers, at the beginning
        self._unstarted = 0  # workers in a row that were lost before they had started
        self._alone_since: float | None = time.monotonic()  # without a worker; None once that was said
        self._processors = {cpu_model()}

    def train(self, should_stop: Callable[[], bool]) -> None:
        """Train the stacks until all are done or `should_stop` returns true."""
        try:
            while True:
                if not self._stopping and should_stop():
                    self._stop()
                if not self._stopping:
                    self._give()
                    self._hire()
                if not self._busy() and (self._stopping or not self._waiting()):
                    return
                for worker in self._answering():
                    self._hear(worker)
                self._say_if_nobody_comes()
        finally:
            for worker in self.workers:
                worker.dismiss()

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.stack is not None]

    def _waiting(self) -> int:
        return len(self.left) + len(self.suspects)

    def _stop(self) -> None:
        """Let the workers make checkpoints; those without a stack end."""
        self._stopping = self.recorder.tally.interrupted = True
        for worker in self._busy():
            worker.stop()
        self._dismiss_idle()

    def _dismiss_idle(self) -> None:
        for worker in [one for one in self.workers if one.stack is None]:
            self.workers.remove(worker)
            worker.dismiss()

    def _give(self) -> None:
        """Give stacks to the workers that have none."""
        for worker in self.workers:
            if worker.node is not None and worker.stack is None:
                beside = [one.stack for one in self._busy() if one.node == worker.node and one.stack]
                if any(map(self._is_suspect, beside)):
                    continue
                if self.left:
                    self._begin(worker, self.left.popleft())
                elif self.suspects and not beside:
                    self._begin(worker, self.suspects.popleft())
        if not self._waiting():
            self._dismiss_idle()

    def _is_suspect(self, stack: Stack) -> bool:
        return len(self.losses.get(stack.stack_id, ())) >= TRIES - 1

    def _begin(self, worker: Worker, stack: Stack) -> None:
        assignment = self.recorder.begin(stack)
        self.recorder.tally.processors[worker.processor] += 1
        worker.train(assignment, self.images(stack, assignment))

    def _hire(self) -> None:
        """Ask for workers, a few more than there are: which of them start shows how much room there is."""
        wanted = self._waiting() + len(self._busy())
        if self.most is not None:
            wanted = min(wanted, self.most)
        started = sum(worker.node is not None for worker in self.workers)
        most = max(2, started, self._room - started)
        while len(self.workers) < wanted and len(self.workers) - started < most:
            self.workers.append(Worker(self.share, self.setup))

    def _answering(self) -> list[Worker]:
        """Return the workers that have answered, after a wait for the first of them."""
        asked = {worker.reply: worker for worker in self.workers if worker.reply is not None}
        first, _ = ray.wait(list(asked), timeout=WAIT_SECONDS)
        if not first:
            return []
        all_of_them, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        return [asked[reply] for reply in all_of_them or first]

    def _hear(self, worker: Worker) -> None:
        try:
            answer = ray.get(worker.reply)
        except RayTaskError:
            raise  # a bug, with the traceback of the worker
        except ActorUnavailableError:
            time.sleep(WAIT_SECONDS)  # until Ray knows whether the worker is lost
            worker.reply = worker.actor.stop.remote()
            return
        except RayError as error:
            self._lose(worker, error)
            return
        if isinstance(answer, Refused):
            raise NormbenchError(answer.text)
        if isinstance(answer, Ready):
            self._welcome(worker, answer)
            return
        if answer is None:  # it could not be reached for a while, and what it told may be lost
            self._lose(worker, None)
            return
        stack = worker.stack
        assert stack is not None
        for message in answer:
            if isinstance(message, Ending):
                worker.rest()
            self._record(stack, message)
        if worker.stack is not None:
            worker.go_on()

    def _record(self, stack: Stack, message: Message) -> None:
        if isinstance(message, Checkpoint):
            self.losses.pop(stack.stack_id, None)  # the stack makes progress
        self.left.extendleft(reversed(self.recorder.handle(stack, message)))

    def _welcome(self, worker: Worker, answer: Ready) -> None:
        worker.node, worker.processor, worker.reply = answer.node, answer.processor, None
        self._unstarted, self._alone_since = 0, None
        if answer.processor not in self._processors:
            self._processors.add(answer.processor)
            self.recorder.reporter.message(
                f"a node has another processor than this machine ({answer.processor}): the last digits of "
                "results may depend on which of them trains a stack"
            )

    def _lose(self, worker: Worker, error: RayError | None) -> None:
        """Note that a worker is lost, and put its stack back."""
        self.workers.remove(worker)
        worker.dismiss()
        alive = {node["NodeID"] for node in _nodes()}
        for one in [one for one in self.workers if one.node not in (None, *alive) and one.stack is None]:
            self.workers.remove(one)
        if not any(one.node for one in self.workers):
            self._alone_since = time.monotonic()
        why = _why(error)
        if worker.node is None:
            self._refuse_if_none_can_start(error, why)
            return
        if (stack := worker.stack) is None:
            return
        what = "worker" if worker.node in alive else "node"
        if not getattr(error, "preempted", False):  # the cluster took the node back
            self.losses[stack.stack_id].append(worker.node)
        lost = self.losses[stack.stack_id]
        if len(lost) < TRIES:
            self.recorder.reporter.message(
                f"{stack_name(stack)}: its {what} is lost ({why}); it goes on with another one"
            )
            self.recorder.close(stack)
            (self.suspects if self._is_suspect(stack) else self.left).appendleft(stack)
            return
        whole = not alive.intersection(lost)
        text = f"its {'node' if whole else 'worker'} was lost {TRIES} times without a checkpoint in between"
        fault = Fault(f"{text}, the last time with: {why}", memory=isinstance(error, OutOfMemoryError))
        del self.losses[stack.stack_id]
        self._record(stack, Failed(f"{fault.error}\n\n{error}\n", fault, whole))

    def _refuse_if_none_can_start(self, error: RayError | None, why: str) -> None:
        self._unstarted += 1
        never = isinstance(error, RayActorError) and error.actor_init_failed
        if never or self._unstarted >= MOST_UNSTARTED:
            raise NormbenchError(
                f"workers on the cluster cannot start: {why}; each node needs the packages of this "
                "machine, normbench[ray] among them, in the same versions (docs/cluster.md)"
            )

    def _say_if_nobody_comes(self) -> None:
        """Tell the user once why nothing trains."""
        since = self._alone_since
        if since is None or time.monotonic() - since < PATIENCE or self._stopping:
            return
        self._alone_since = None
        nodes = _nodes()
        large = sum(_slots(node, self.share) > 0 for node in nodes)
        each = " and ".join(f"{value:g} {NAMES[name]}" for name, value in self.share.items() if value)
        why = f"{large} nodes are large enough for {each}, but are busy with other work or slow to start"
        if not large:
            sizes = [{name: node["Resources"].get(name, 0.0) for name in NAMES.values()} for node in nodes]
            why = f"no node has {each} for a stack; the nodes have {json.dumps(sizes)}"
        self.recorder.reporter.message(f"waiting for a worker: {why}")


def _nodes() -> list[dict[str, Any]]:
    """Return the nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def _slots(node: Mapping[str, Any], share: Mapping[str, float]) -> int:
    """Return how many workers a node has room for when it does nothing else."""
    return int(min(node["Resources"].get(NAMES[name], 0.0) / value for name, value in share.items() if value))


def _why(error: RayError | None) -> str:
    """Return the last line of what Ray says, without its guesses."""
    lines = [line.strip() for line in str(error or "it could not be reached for a while").splitlines()]
    last = next((line for line in reversed(lines) if line), type(error).__name__)
    return last.partition(" Some common causes")[0].partition("Worker exit detail: ")[2] or last
