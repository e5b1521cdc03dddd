"""A rollout and a hung node on simulated hosts, for tests of the command line on what a controller leaves behind."""

import json
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from typing import Any

import attrs
import pytest
from click.testing import Result
from typer.testing import CliRunner

from kubenode.core import model as m
from kubenode.runtime.cli import live
from kubenode.runtime.cli.app import app
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.store.embedded import EmbeddedStore

HOUR = timedelta(hours=1)
SET = "node-exporter"
NEW = "node-exporter=1.9.0"


def staged(story: str = "upgrade", machines: int = 12, refusing: tuple[str, ...] = ()) -> Stage:
    """Machines Running and at rest, with the component of a story; nothing has changed yet."""
    stage = Stage("test", Cast.read([examples() / f"{story}.yaml"]).with_machines(machines), seed=0, tell=lambda _: None)  # fmt: skip
    stage.open(lambda spec: attrs.evolve(spec, refuses=frozenset({NEW} if spec.machine in refusing else ())))
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    return stage


def rolling(machines: int = 12, refusing: tuple[str, ...] = ()) -> Stage:
    """A rollout that is at rest again: complete, or stopped by what refuses."""
    stage = staged(machines=machines, refusing=refusing)
    stage.change()
    stage.simulation.rest(limit=24 * HOUR)
    return stage


def owner(stage: Stage) -> m.MachineComponentSet:
    """Give the set as it stands."""
    found: m.MachineComponentSet = stage.read(m.MachineComponentSet, SET)
    return found


def spoken(stage: Stage, **words: Any) -> None:
    """Merge words into the spec of the rollout, as a person would."""
    stage.simulation.change(m.MachineComponentSet, SET, {"spec": {"rollout": words}})


def hung(stage: Stage, name: str = "n003") -> None:
    """Let a host hang, and all of it be over."""
    simulation = stage.simulation
    simulation.at(timedelta(minutes=5), lambda: simulation.hosts[name].hang(kernel_lines()))
    simulation.run_until(
        lambda: any(job.status.closed_at is not None for job in stage.all(m.RemedyOperationJob)), limit=6 * HOUR
    )  # fmt: skip
    simulation.rest(limit=HOUR)


@attrs.frozen
class Shell:
    """Command lines, on the cluster of a stage."""

    store: EmbeddedStore

    def run(self, *words: str) -> Result:
        """Run a command line."""
        return CliRunner().invoke(app, list(words))

    def said(self, *words: str, code: int = 0) -> Any:
        """Run it with -o json, and give the document."""
        result = self.run(*words, "-o", "json")
        assert result.exit_code == code, (result.stdout, result.stderr)
        return json.loads(result.stdout)

    def refused(self, *words: str, code: int = 1) -> dict[str, str]:
        """Run it with -o json, and give the error: one document on stderr, and nothing on stdout."""
        result = self.run(*words, "-o", "json")
        assert (result.exit_code, result.stdout) == (code, ""), (result.stdout, result.stderr)
        error: dict[str, str] = json.loads(result.stderr)["error"]
        return error


def shell(store: EmbeddedStore, patch: pytest.MonkeyPatch) -> Shell:
    """Let command lines reach a store."""

    def connected(*_: object, **__: object) -> AbstractAsyncContextManager[EmbeddedStore]:
        return nullcontext(store)

    patch.setattr(live, "connect", connected)
    return Shell(store)
