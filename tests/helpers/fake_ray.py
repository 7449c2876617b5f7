"""What `normbench.launch.ray` needs of Ray, within this process: nodes with slots, which stacks can kill."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

from ray.exceptions import RayError

from normbench.launch import ray as launcher
from normbench.launch import ray_crew
from normbench.launch.ray_worker import Ready
from normbench.launch.train_stack import train_stack
from normbench.planning.runs import Stack


class Lost(RayError):
    preempted = False


class FakeRay:
    """A cluster in which each node has as many slots; a node that dies is replaced.

    Args:
        nodes: number of nodes.
        slots: of each node.
        kills: asked before each message of a stack: `node`, `worker`, or None to go on.
    """

    def __init__(self, nodes: int, slots: int, kills: Callable[[Stack], str | None]) -> None:
        self.slots, self.kills = slots, kills
        self.alive: dict[str, bool] = {}
        self.actors: list[Actor] = []
        self.deaths: list[tuple[str, set[str]]] = []  # what died, and the stacks that were lost with it
        for _ in range(nodes):
            self.add_node()

    def install(self, monkeypatch: Any) -> None:
        api = SimpleNamespace(
            wait=self.wait,
            get=lambda ref: ref(),
            kill=self.leave,
            nodes=lambda: [{"NodeID": one, "Alive": up, "Resources": {}} for one, up in self.alive.items()],
            put=lambda value: value,
            is_initialized=lambda: True,
        )
        monkeypatch.setattr(ray_crew, "ray", api)
        monkeypatch.setattr(launcher, "ray", api)
        remote = SimpleNamespace(remote=lambda: Actor(self))
        monkeypatch.setattr(ray_crew, "_ACTOR", SimpleNamespace(options=lambda **share: remote))

    def add_node(self) -> None:
        self.alive[f"node {len(self.alive)}"] = True

    def place(self) -> str | None:
        for node, up in self.alive.items():
            if up and sum(one.node == node for one in self.actors) < self.slots:
                return node
        return None

    def wait(self, refs: list[Call], num_returns: int = 1, timeout: float = 0.0) -> Any:
        for ref in refs:
            if ref.actor.node is None and not ref.actor.dead:
                ref.actor.node = self.place()
        ready = [ref for ref in refs if ref.actor.node is not None or ref.actor.dead]
        assert ready, "nothing could ever happen"
        return ready[:num_returns], []

    def leave(self, actor: Actor) -> None:
        actor.dead = True
        if actor in self.actors:
            self.actors.remove(actor)

    def die(self, what: str, actor: Actor) -> None:
        lost = [one for one in self.actors if what == "node" and one.node == actor.node] or [actor]
        self.deaths.append((what, {one.stack.stack_id for one in lost if one.stack}))
        if what == "node":
            self.alive[str(actor.node)] = False
            self.add_node()
        for one in lost:
            self.leave(one)


class Call:
    """A call of an actor's method, made when its result is asked for."""

    def __init__(self, actor: Actor, make: Callable[[], Any]) -> None:
        self.actor, self.make = actor, make

    def __call__(self) -> Any:
        if not self.actor.dead:
            answer = self.make()
        if self.actor.dead:
            raise Lost("Its node has died.")
        return answer


class Actor:
    """An actor that trains one message at a time."""

    def __init__(self, cluster: FakeRay) -> None:
        self.cluster = cluster
        self.node: str | None = None
        self.dead = self.stopping = False
        self.stack: Stack | None = None
        cluster.actors.append(self)
        for name in ("ready", "train", "take"):
            method = getattr(self, f"_{name}")
            call = SimpleNamespace(remote=lambda *given, method=method: Call(self, lambda: method(*given)))
            setattr(self, name, call)
        self.stop = SimpleNamespace(remote=self._stop)

    def _ready(self, setup: Any) -> Ready:
        return Ready(str(self.node), "a processor")

    def _train(self, assignment: Any, images: Any) -> list[Any]:
        self.stack = assignment.stack
        self.messages = train_stack(
            assignment, lambda: self.stopping, lambda *_, **options: images.on(options["device"])
        )
        return self._take()

    def _take(self) -> list[Any]:
        assert self.stack is not None
        if what := self.cluster.kills(self.stack):
            self.cluster.die(what, self)
            return []
        return [next(self.messages)]

    def _stop(self) -> None:
        self.stopping = True


def runs_of(stack: Stack, norms: Collection[str]) -> bool:
    return stack.runs[0].settings.model.norm.name in norms
