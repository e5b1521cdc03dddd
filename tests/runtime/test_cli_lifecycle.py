"""`kubenode machine create` and `delete`, on a cluster with a simulated cloud that the controllers then act on."""

from datetime import timedelta
from pathlib import Path

import pytest

from kubenode.core import model as m
from kubenode.core.model import Json
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.embedded import now_or_never
from tests.runtime.stages import Shell, shell
from tests.runtime.test_clouds import LONG, cluster, machine, read

SOON = timedelta(seconds=1)


@pytest.fixture
def sim() -> Simulation:
    """A cluster at rest, with one machine that its cloud made."""
    return cluster(machine())


@pytest.fixture
def run(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line on it."""
    return shell(sim.store, monkeypatch)


def written(path: Path, text: str) -> str:
    """Write a file of parameters."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def raw(sim: Simulation, name: str) -> Json:
    """Read one machine as it stands on the wire."""
    return now_or_never(sim.store.get(m.Machine.KIND, name))


def test_a_machine_is_asked_for_made_shown_and_ended(sim: Simulation, run: Shell, tmp_path: Path) -> None:
    """What the words say happens: one instance, shown by `machine get`, and its end; a dry run does none of it."""
    words = (
        "machine", "create", "n8", "--provider", "memory", "--label", "pool=x", "--parameters",
        written(tmp_path / "n8.yaml", "zone: b\n"),
    )  # fmt: skip
    dry = run.said(*words, "--dry-run")
    assert (dry["dry_run"], len(sim.cloud.created)) == (True, 1)
    done = run.said(*words)
    assert dry["changes"] == done["changes"]
    assert sim.rest(limit=LONG)
    assert len(sim.cloud.created) == 2
    made = read(sim, "n8")
    assert (made.metadata.labels["pool"], made.status.phase) == ("x", "Running")
    assert made.status.instance is not None
    row = next(line for line in run.run("machine", "get").stdout.splitlines() if line.startswith("n8"))
    assert made.status.instance.id in row
    dry = run.said("machine", "delete", "n8", "--dry-run")
    assert "deletionTimestamp" not in raw(sim, "n8")["metadata"]
    done = run.said("machine", "delete", "n8")
    assert dry["changes"] == done["changes"]
    assert (
        f"instance {made.status.instance.id} of provider memory is terminated" in done["changes"][0]["next"]
    )
    assert run.said("machine", "delete", "n8")["changes"][0]["changed"] is False
    assert sim.rest(limit=LONG)
    assert [one.id for one in sim.cloud.alive] == [read(sim).status.instance.id]  # type: ignore[union-attr]
    assert run.refused("machine", "delete", "n8")["fix"].startswith("there are: c1")


def test_release_leaves_the_host(sim: Simulation, run: Shell) -> None:
    """Also of a machine whose end was asked for a moment ago."""
    run.said("machine", "delete", "c1")
    run.said("machine", "delete", "c1", "--release")
    assert sim.rest(limit=LONG)
    assert len(sim.cloud.alive) == 1
    assert now_or_never(sim.store.find(m.Machine.KIND)).items == ()


def test_an_older_machine_of_the_name_is_not_deleted_for_the_one_that_was_read(
    sim: Simulation, run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the write it went, and another one came: that one stays."""
    plain = sim.store.get

    async def other(kind: m.Kind, name: str) -> Json:
        found = await plain(kind, name)
        return {**found, "metadata": {**found["metadata"], "uid": "another"}}

    monkeypatch.setattr(sim.store, "get", other)
    assert "changed by somebody else" in run.refused("machine", "delete", "c1")["message"]
    monkeypatch.undo()
    assert "deletionTimestamp" not in raw(sim, "c1")["metadata"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("n8",), 2, "give one of --provider and --address"),
        (("n8", "--provider", "memory", "--address", "10.0.0.9"), 2, "give one of --provider and --address"),
        (("n8", "--address", "10.0.0.9", "--parameters", "{file}"), 2, "a host has none"),
        (("n8", "--address", "10.0.0.9", "--label", "pool"), 2, "no KEY=VALUE"),
        (("n8", "--provider", "memory", "--parameters", "{file}"), 1, "size"),
        (("c1", "--provider", "memory"), 1, "changed by somebody else"),
        (("n8", "--address", "10.0.0.9; reboot"), 1, "address"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    sim: Simulation, run: Shell, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """Neither or both origins, parameters of a host, a label without a value, a parameter that the plugin does not know."""
    file = written(tmp_path / "wrong.yaml", "size: large\n")
    before = now_or_never(sim.store.find(m.Machine.KIND)).items
    result = run.run("machine", "create", *(word.format(file=file) for word in words))
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert now_or_never(sim.store.find(m.Machine.KIND)).items == before


def test_a_plugin_that_is_not_here_checks_nothing(run: Shell, tmp_path: Path) -> None:
    """It is the controller's; a note says that nothing was checked."""
    file = written(tmp_path / "n8.json", '{"size": "large"}')
    result = run.run("machine", "create", "n8", "--provider", "other-cloud", "--parameters", file)
    assert result.exit_code == 0
    assert "not installed here" in result.stderr
