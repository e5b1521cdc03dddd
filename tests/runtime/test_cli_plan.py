"""`kubenode plan`: what it foresees is what then happens, and nothing is written."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from typer.testing import CliRunner

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.runtime.cli import plan as planning
from kubenode.runtime.cli.app import app
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
RUNNER = CliRunner()


def plan(*arguments: str | Path) -> dict[str, Any]:
    """Run `kubenode plan -o json`."""
    result = RUNNER.invoke(app, ["plan", "-o", "json", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    body: dict[str, Any] = json.loads(result.stdout)
    return body


def edited(tmp_path: Path, name: str, *changes: tuple[str, str]) -> Path:
    """An example with some changes."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return path


def upgrade(*arguments: str | Path, file: Path = EXAMPLES / "upgrade.yaml") -> dict[str, Any]:
    """Plan the upgrade of 200 machines and give its one rollout."""
    (rollout,) = plan("-f", file, "--machines", "200", *arguments)["rollouts"]
    assert isinstance(rollout, dict)
    return rollout


def test_the_batches_of_the_upgrade() -> None:
    """1/5/10/50/100/34 by zone order, each machine once, with the steps of the driver."""
    rollout = upgrade()
    assert [batch["size"] for batch in rollout["batches"]] == [1, 5, 10, 50, 100, 34]
    members = [member for batch in rollout["batches"] for member in batch["members"]]
    assert len({member["machine"] for member in members}) == 200
    assert [member["zone"] for member in members] == sorted(member["zone"] for member in members)
    assert (rollout["before"], rollout["component"]) == ("node-exporter-1.8.2", "node-exporter-1.9.0")
    assert rollout["steps"] == ["install node-exporter 1.9.0, then restart node-exporter.service"]
    assert rollout["waits"] is None


@pytest.mark.parametrize("disruption", ["drain", "reboot"])
def test_a_plan_takes_nodes_to_be_drained(tmp_path: Path, disruption: str) -> None:
    """How long that takes is not foreseen; the batches are the same, and nobody is waited for."""
    path = edited(
        tmp_path, "upgrade", ("  driver: package\n", f"  driver: package\n  disruption: {disruption}\n")
    )
    (rollout,) = plan("-f", path, "--machines", "6")["rollouts"]
    assert [batch["size"] for batch in rollout["batches"]] == [1, 5]
    assert rollout["waits"] is None


def test_a_plan_takes_hooks_to_pass_and_asks_nobody(tmp_path: Path) -> None:
    """Not even one whose plugin is not here: what is planned is what comes when all goes well."""
    hooks = "observation: 1m\n    inspection:\n      hooks: [{name: errors, inspector: not-installed-here}]"
    rollout = upgrade(file=edited(tmp_path, "upgrade", ("observation: 1m", hooks)))
    assert [batch["size"] for batch in rollout["batches"]] == [1, 5, 10, 50, 100, 34]
    assert rollout["waits"] is None


def dump_of(simulation: Simulation, path: Path) -> Path:
    """Write all objects of a simulation's store as `kubectl get -o yaml` prints them: one List."""
    kinds: tuple[type[m.Object], ...] = (*m.KINDS, m.Node)
    items = [raw for kind in kinds for raw in simulation.objects(kind)]
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


def test_what_is_foreseen_is_what_happens(tmp_path: Path) -> None:
    """Planned on a dump of a running cluster, then really rolled out there: the same machines in the same batches."""
    from datetime import timedelta

    from kubenode.runtime.sim.story import Stage

    cast = Cast.read([EXAMPLES / "upgrade.yaml"]).with_machines(40)
    stage = Stage("upgrade", cast, seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=timedelta(hours=1))
    there = dump_of(stage.simulation, tmp_path / "there.yaml")
    before = {kind: stage.simulation.objects(kind) for kind in m.KINDS}
    seen = plan("-f", EXAMPLES / "upgrade.yaml", "--installed", there)
    assert seen["order_within_zones"] == "exact"
    assert {kind: stage.simulation.objects(kind) for kind in m.KINDS} == before
    stage.change()
    stage.simulation.rest(limit=timedelta(days=1))
    happened = {
        raw["metadata"]["name"]: raw["spec"]["components"]["node-exporter"]["batch"]
        for raw in stage.simulation.objects(m.Machine)
    }
    (rollout,) = seen["rollouts"]
    foreseen = {
        member["machine"]: batch["number"] for batch in rollout["batches"] for member in batch["members"]
    }
    assert foreseen == happened
    assert Counter(foreseen.values()) == {1: 1, 2: 5, 3: 10, 4: 24}
    again = plan(
        "-f", EXAMPLES / "upgrade.yaml", "--installed", dump_of(stage.simulation, tmp_path / "then.yaml")
    )
    assert again["changes"] is False


def test_a_plan_foresees_the_demo_too() -> None:
    """Sizes of batches as the story's set has them in the end."""
    told = STORIES["upgrade"](Cast.read([EXAMPLES / "upgrade.yaml"]), 0, lambda _: None)
    sizes = "/".join(str(batch["size"]) for batch in upgrade()["batches"])
    assert f"in batches {sizes}," in told.summary


@pytest.mark.parametrize(
    ("change", "sizes", "waits"),
    [
        ("partition: 150", [1, 5, 10, 34], "150"),
        ("approval: Manual", [1], "approve"),
        ("paused: true", [], "paused"),
    ],
)
def test_where_a_person_is_waited_for_is_told(
    change: str, sizes: list[int], waits: str, tmp_path: Path
) -> None:
    """The rollout is planned up to there, and the reason is the decider's own."""
    text = (EXAMPLES / "upgrade.yaml").read_text()
    head, mark, last = text.rpartition("    observation: 1m")
    path = tmp_path / "held.yaml"
    path.write_text(head + mark + f"\n    {change}" + last)
    rollout = upgrade(file=path)
    assert [batch["size"] for batch in rollout["batches"]] == sizes
    assert waits in rollout["waits"]


def test_a_component_that_is_nowhere_is_told(tmp_path: Path) -> None:
    """Nothing begins, and the plan says why."""
    path = tmp_path / "lone.yaml"
    path.write_text(
        "apiVersion: kubenode.dev/v1alpha1\nkind: MachineComponentSet\nmetadata: {name: s}\nspec: {name: x, component: gone}\n"
    )
    (rollout,) = plan("-f", path, "--machines", "3")["rollouts"]
    assert rollout["batches"] == rollout["joining"] == []
    assert "gone" in rollout["waits"]


def test_an_import_is_a_dry_run() -> None:
    """Labels, taints and components of every machine, before anything is installed."""
    seen = plan("-f", EXAMPLES / "import.yaml")
    assert [one["machine"] for one in seen["imports"]] == ["m1", "m2", "m3"]
    third = seen["imports"][2]
    assert third["labels"] == {"node-role.example.com/general": "true", "example.com/rack": "r09"}
    assert third["taints"] == ["example.com/dedicated=batch:NoSchedule"]
    assert third["components"] == {"chrony": "chrony-4.5", "sysctl": "sysctl-2026-03"}
    steps = {one["set"]: one["steps"] for one in seen["rollouts"]}
    assert steps == {
        "chrony": ["install chrony 4.5, then restart chrony.service"],
        "sysctl": ["write /etc/sysctl.d/90-platform.conf"],
    }


def test_a_machine_set_that_grows_or_shrinks(tmp_path: Path) -> None:
    """Six made, then three more or four fewer; what is deleted is named, newest first as the set asks."""
    seen = plan("-f", EXAMPLES / "machineset.yaml")
    assert [len(one["creates"]) for one in seen["machine_sets"]] == [6]
    made = seen["machine_sets"][0]["creates"]
    assert seen["instances"] == [
        {
            "provider": "memory",
            "creates": sorted(made),
            "deletes": [],
            "released": [],
            "problems": {},
            "calls": {"create": 6, "delete": 0},
        }
    ]
    (only,) = [
        obj for obj in Cast.read([EXAMPLES / "machineset.yaml"]).objects if isinstance(obj, m.MachineSet)
    ]
    owner = attrs.evolve(only, metadata=attrs.evolve(
        only.metadata, uid="set-1", resource_version="7", finalizers=("kubenode.dev/machineset",)))  # fmt: skip
    machines = [
        m.Machine(
            metadata=m.ObjectMeta(
                name=name, uid=f"uid-{name}", resource_version="8", labels={"pool": "general"}
            ),
            spec=m.MachineSpec(
                infrastructure=m.Infrastructure(provider="memory"),
                set_ref=m.SetRef(name="general", uid="set-1"),
            ),
        )
        for name in made
    ]
    there = tmp_path / "there.yaml"
    there.write_text(yaml.safe_dump_all([wire.dump(obj) for obj in (owner, *machines)]))
    more = plan("-f", edited(tmp_path, "machineset", ("replicas: 6", "replicas: 9")), "--installed", there)
    assert [(len(one["creates"]), one["deletes"]) for one in more["machine_sets"]] == [(3, [])]
    assert more["objects"] == [
        {"kind": "MachineSet", "name": "general", "action": "change", "fields": ["spec.replicas"]}
    ]
    fewer = plan("-f", edited(tmp_path, "machineset", ("replicas: 6", "replicas: 2")), "--installed", there)
    assert [(one["creates"], len(one["deletes"])) for one in fewer["machine_sets"]] == [([], 4)]
    assert set(fewer["machine_sets"][0]["deletes"]) < set(made)
    assert [(one["calls"], len(one["creates"])) for one in more["instances"]] == [
        ({"create": 3, "delete": 0}, 3)
    ]
    (asked,) = fewer["instances"]
    assert (asked["calls"], set(asked["deletes"])) == (
        {"create": 0, "delete": 4},
        set(fewer["machine_sets"][0]["deletes"]),
    )


def test_what_is_asked_of_a_cloud_and_what_cannot_be(tmp_path: Path) -> None:
    """By provider: a call for each instance; nothing for what no plugin can read, with why; what is released stays."""
    spec = "{infrastructure: {provider: %s, parameters: %s}}"
    head = "apiVersion: kubenode.dev/v1alpha1\nkind: Machine\nmetadata: {name: %s}\nspec: %s\n"
    asked = {
        "m1": spec % ("memory", "{zone: a}"), "m2": spec % ("memory", "{zones: a}"), "m3": spec % ("memroy", "{}"),
        "m4": "{host: {address: 10.0.0.4}}",
    }  # fmt: skip
    path = tmp_path / "machines.yaml"
    path.write_text("---\n".join(head % one for one in asked.items()))
    seen = {one["provider"]: one for one in plan("-f", path)["instances"]}
    assert {name: (one["creates"], one["calls"]["create"]) for name, one in seen.items()} == {
        "memory": (["m1"], 1), "memroy": ([], 0),
    }  # fmt: skip
    assert list(seen["memory"]["problems"]) == ["m2"]
    assert "zones" in seen["memory"]["problems"]["m2"]
    assert "did you mean 'memory'?" in seen["memroy"]["problems"]["m3"]
    table = RUNNER.invoke(app, ["plan", "-f", str(path)]).stdout
    assert "ask     memory: 1 instance made, 0 terminated" in table
    assert (
        "1 call to make and end them, and looks: one list that all machines share, every 5 s at most" in table
    )
    assert "nothing is asked for m3: PluginMissing" in table
    set_of_none = edited(
        tmp_path,
        "machineset",
        ("replicas: 6", "replicas: 0"),
        ("deletionPolicy: Terminate", "deletionPolicy: Release"),
    )
    owner = attrs.evolve(
        Cast.read([set_of_none]).objects[0],
        metadata=m.ObjectMeta(name="general", uid="set-1", finalizers=("kubenode.dev/machineset",)),
    )
    kept = m.Machine(
        metadata=m.ObjectMeta(name="general-00000001", uid="uid-1", labels={"pool": "general"}),
        spec=m.MachineSpec(
            infrastructure=m.Infrastructure(provider="memory"), set_ref=m.SetRef(name="general", uid="set-1"),
            deletion_policy=m.DeletionPolicy.RELEASE,
        ),
    )  # fmt: skip
    there = tmp_path / "there.yaml"
    there.write_text(yaml.safe_dump_all([wire.dump(owner), wire.dump(kept)]))
    (left,) = plan("-f", set_of_none, "--installed", there)["instances"]
    assert (left["deletes"], left["released"], left["calls"]["delete"]) == ([], ["general-00000001"], 0)


def test_what_controllers_wrote_is_no_difference(tmp_path: Path) -> None:
    """A person's file has no entries, operation or setRef; applying it does not take them away."""
    (machine,) = [
        obj for obj in Cast.read([EXAMPLES / "import.yaml"]).objects
        if isinstance(obj, m.Machine) and obj.metadata.name == "m1"
    ]  # fmt: skip
    entry = m.ComponentEntry(set="chrony", component="chrony-4.5", revision="1")
    written = attrs.evolve(
        machine, metadata=attrs.evolve(machine.metadata, uid="u", resource_version="3"),
        spec=attrs.evolve(machine.spec, components={"chrony": entry}),
    )  # fmt: skip
    there, mine = tmp_path / "there.yaml", tmp_path / "mine.yaml"
    there.write_text(yaml.safe_dump(wire.dump(written)))
    mine.write_text(yaml.safe_dump(wire.dump(machine)))
    assert plan("-f", mine, "--installed", there)["objects"] == []


def test_a_freeze_is_told(tmp_path: Path) -> None:
    """A plan takes every permit to be given; what would surely not be given is said."""
    path = edited(
        tmp_path,
        "upgrade",
        ("spec:\n  limits:", "spec:\n  freeze: [{scope: zone, name: b, reason: power works}]\n  limits:"),
    )
    seen = plan("-f", path, "--machines", "20")
    assert seen["frozen"] == ["default: zone b is frozen: power works"]
    past = edited(
        tmp_path,
        "upgrade",
        (
            "spec:\n  limits:",
            "spec:\n  freeze: [{scope: cluster, until: '2020-01-01T00:00:00Z', reason: over}]\n  limits:",
        ),
    )
    assert plan("-f", past, "--machines", "20")["frozen"] == []


def test_rubbish_that_is_installed_is_told_with_its_file(tmp_path: Path) -> None:
    """What is no object is left out by kind; what is ours and cannot be read is an error."""
    there = tmp_path / "there.yaml"
    there.write_text(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n- {apiVersion: kubenode.dev/v1alpha1, kind: Machine}\n"
    )
    result = RUNNER.invoke(app, ["plan", "-f", str(EXAMPLES / "import.yaml"), "--installed", str(there)])
    assert result.exit_code == 1
    assert "there.yaml" in result.stderr


def test_the_table_names_machines_and_zones() -> None:
    """For people: one line a batch, the members of large ones from both ends."""
    text = RUNNER.invoke(app, ["plan", "-f", str(EXAMPLES / "upgrade.yaml"), "--machines", "200"]).stdout
    (fifth,) = [line for line in text.splitlines() if line.strip().startswith("batch 5")]
    assert fifth.split()[:6] == ["batch", "5", "100", "zone", "b,", "zone"]
    assert " ... " in fifth
    assert "nothing would change" not in text


TWO_SETS = """\
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponent
metadata: {name: c1}
spec: {version: "1", driver: package, parameters: {package: c}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {name: a}
spec: {name: k, component: c1, selector: {matchLabels: {first: "1"}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {name: b}
spec: {name: k, component: c1, selector: {matchLabels: {second: "1"}}}
---
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata: {name: both, labels: {first: "1", second: "1"}}
spec: {host: {address: 10.0.0.1}}
---
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata: {name: alone, labels: {second: "1"}}
spec: {host: {address: 10.0.0.2}}
"""


def test_of_two_sets_that_want_one_entry_the_second_waits(tmp_path: Path) -> None:
    """Named with the fix, as text and as json; what it can install elsewhere it does."""
    path = tmp_path / "two.yaml"
    path.write_text(TWO_SETS)
    first, second = plan("-f", path)["rollouts"]
    assert (first["set"], first["waits"], [one["machine"] for one in first["joining"]]) == ("a", None, ["both"])  # fmt: skip
    waits = (
        "Conflict: spec.components.k of both names another set and is left alone; "
        "rename one set's spec.name, or make the selectors disjoint"
    )
    assert (second["set"], second["waits"], [one["machine"] for one in second["joining"]]) == ("b", waits, ["alone"])  # fmt: skip
    said = RUNNER.invoke(app, ["plan", "-f", str(path)]).stdout
    assert "rollout b revision 1: c1\n" in said
    assert f"        waits: {waits}\n" in said


def test_two_sets_that_do_not_meet_do_not_wait(tmp_path: Path) -> None:
    """Neither for another entry of the same machine, nor for the same entry of another machine."""
    for change in (("{second: \"1\"}}}", "{third: \"1\"}}}"), ("{name: k, component: c1, selector: {matchLabels: {second", "{name: l, component: c1, selector: {matchLabels: {second")):  # fmt: skip
        path = tmp_path / "two.yaml"
        path.write_text(TWO_SETS.replace(*change))
        assert [one["waits"] for one in plan("-f", path)["rollouts"] if one["waits"]] == []


def test_what_takes_long_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, set by set, upwards and never beyond; stdout has the plan alone."""
    monkeypatch.setattr(planning, "EVERY", 0)
    args = ["plan", "-o", "json", "-f", str(EXAMPLES / "upgrade.yaml"), "--machines", "200"]
    result = RUNNER.invoke(app, args)
    assert json.loads(result.stdout)["changes"] is True
    told = [re.fullmatch(r"MachineComponentSet node-exporter: (\d+) of 200 machines planned", line)
            for line in result.stderr.splitlines()]  # fmt: skip
    counts = [int(one[1]) for one in told if one is not None]
    assert len(counts) == len(told) > 20
    begun = [at for at, count in enumerate(counts) if count == 0]
    assert begun[-1] > 0, "once as it is, and once as it is to be"
    assert counts[begun[-1] :] == sorted(counts[begun[-1] :])
    assert counts[-1] == 200
    result = RUNNER.invoke(app, ["plan", "-f", str(EXAMPLES / "machineset.yaml")])
    assert "MachineSet general: 6 of 6 machines planned" in result.stderr.splitlines()


def test_it_tells_nothing_before_that_and_not_more_often(capsys: pytest.CaptureFixture[str]) -> None:
    """Every two seconds, by the clock that it is given."""
    now = [7]
    teller = planning.Teller(lambda: now[0])
    for after in (0, planning.EVERY - 1, 1, planning.EVERY - 1, 1, 5 * planning.EVERY, 0):
        now[0] += after
        teller.tell(f"at {now[0] - 7}", 1, 2)
    told = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [f"at {times * planning.EVERY}" for times in (1, 2, 7)]
