"""One story of three bare hosts: imported, upgraded, broken, cut short, cut off, and healed; with a real controller and a real server.

Its chapters are in order, and each needs those before it.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.artifacts import served
from tests.hosts.fixture import Parts
from tests.hosts.fleet import Fleet, Seen, import_hosts, now, side_by_side
from tests.hosts.host import Host
from tests.hosts.kubelet import PROGRAM
from tests.hosts.ordeals import LEDGER, away, kept
from tests.hosts.stage import Stage
from tests.hosts.story import NOW, Story, chapter, installed
from tests.hosts.test_stage import left, nothing
from tests.hosts.wishes import CONFIG, POOL, Wishes, measured

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def story(host_parts: Parts, agent_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Three bare hosts with a stage of their own, a controller with the rights of the manifests, a server of artifacts and one of metrics."""
    folder = tmp_path_factory.mktemp("story")
    for number in (1, 2):
        with host_parts.kubelet.open("rb") as program:
            (folder / f"tool-{number}").write_bytes(program.read(6 << 20) + bytes([number]))
    files = {
        "now": host_parts.kubelet, "next": host_parts.next_kubelet,
        "tool-1": folder / "tool-1", "tool-2": folder / "tool-2",
    }  # fmt: skip
    with (
        Stage.start(host_parts.image, host_parts.binaries) as stage,
        stage.network.inside(),
        Fleet.made(stage, folder) as fleet,
        served(files) as artifacts,
        measured(fleet) as metrics,
    ):
        known = fleet.hosts[0].run("apt-cache", "madison", "containerd").splitlines()
        yield Story(
            fleet=fleet, wishes=Wishes(fleet, artifacts), metrics=metrics, artifacts=artifacts, bundle=agent_bundle,
            folder=folder, newest=[line.split("|")[1].strip() for line in known],
            following=host_parts.next_version.removeprefix("v"),
        )  # fmt: skip
    assert left(stage.folder) == nothing()


def test_1_three_bare_hosts_become_three_ready_nodes(story: Story) -> None:
    """`kubenode machine import` of all three: their agents install containerd and the kubelet, which joins by itself."""
    fleet, wishes, (newer, older, *_) = story.fleet, story.wishes, story.newest
    with chapter(story, 1):
        assert fleet.plane.kubectl("get", "nodes", "-o", "name") == ""
        for host in fleet.hosts:
            assert (
                host.run(
                    "find", "/usr/bin/containerd", PROGRAM, "/opt/kubenode", "-maxdepth", "0", check=False
                )
                == ""
            )
        # Two of three hosts that are broken by hand are an outage of a zone; nobody goes easy for minutes after that one.
        policy = {"limits": [{"scope": "cluster", "max": 5}], "zoneBreaker": {"cooldown": "1s"}}
        fleet.apply("RiskPolicy", "default", policy)
        coming = import_hosts(
            fleet, story.bundle, story.folder, *(f"{key}={value}" for key, value in POOL.items())
        )
        try:
            fleet.until("three Machines", lambda: all(fleet.machine(host) for host in fleet.hosts), 30)
            wishes.choose_names()
            wishes.join()
            wishes.containerd_is("containerd-1", older)
            wishes.kubelet_is("kubelet-1", NOW, "now")
            wishes.roll(wishes.containerd, "containerd-1", batches=[3])
            wishes.roll(wishes.kubelet, "kubelet-1", batches=[3])
            out, progress = coming.communicate(timeout=160)
        finally:
            coming.kill()
        assert coming.returncode == 0, out + progress + fleet.told()
        assert [(one["created"], one["phase"]) for one in json.loads(out)["hosts"]] == [(True, "Running")] * 3
        story.containerd, story.kubelet = older, NOW
        story.wait_well()
        lines = fleet.plane.kubectl("get", "nodes", "--no-headers").splitlines()
        assert [line.split()[:2] for line in lines] == [[host.name, "Ready"] for host in fleet.hosts]
        assert {line.split()[-1] for line in lines} == {f"v{NOW}"}
        for entry, component in ((wishes.containerd, "containerd-1"), (wishes.kubelet, "kubelet-1")):
            fleet.wait_complete(entry, component)
        assert older != newer
        assert {installed(host) for host in fleet.hosts} == {older}


def by_batches(story: Story, entry: str, component: str) -> None:
    """Roll a component out over batches of 1 and 2, inspected; the second begins after the first, and whoever is not in it is left alone."""
    fleet, asked, begun = story.fleet, len(story.metrics.asked), time.time()
    with fleet.followed(entry) as seen:
        story.wishes.roll(
            entry, component, batches=[1, 2], observation="1s", inspection={"hooks": story.metrics.hooks}
        )
        fleet.wait_complete(entry, component)
    first, second = (members(seen, number) for number in (1, 2))
    assert (len(first), len(second), len({*first, *second})) == (1, 2, 3), seen
    names = [tuple(host.name for host in fleet.hosts if host.address in batch) for batch in (first, second)]
    questions = story.metrics.asked[asked:]
    wanted = [
        names[0],
        names[0],
        names[1],
        names[1],
    ]  # each when it was closed, and when it had been observed
    assert [batch for _, batch in questions] == wanted
    opened = next(one.at for one in seen if one.batch.get("number") == 2)
    times = {host.address: fleet.disturbed(host, begun) for host in fleet.hosts}
    assert all(times.values()), times
    before, after = ([at for name in batch for at in times[name]] for batch in (first, second))
    assert max(before) < questions[0][0] < questions[1][0] < min(opened, *after)


def members(seen: list[Seen], number: int) -> set[str]:
    """Name the Machines of a batch."""
    found = [one.batch["members"] for one in seen if one.batch.get("number") == number]
    return {member["name"] for member in found[0]}


def test_2_containerd_and_the_kubelet_are_upgraded_by_batches(story: Story, host_parts: Parts) -> None:
    """Containerd by an exact Debian version, then the kubelet by an artifact; never is more than one batch disturbed."""
    fleet, wishes, newer = story.fleet, story.wishes, story.newest[0]
    with chapter(story, 2):
        wishes.containerd_is("containerd-2", newer)
        by_batches(story, wishes.containerd, "containerd-2")
        story.containerd = newer
        assert {installed(host) for host in fleet.hosts} == {newer}
        wishes.kubelet_is("kubelet-2", story.following, "next")
        by_batches(story, wishes.kubelet, "kubelet-2")
        story.kubelet = story.following
        story.wait_well()
        versions = fleet.plane.kubectl(
            "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"
        )
        assert versions.split() == [host_parts.next_version] * 3


def test_3_a_bad_configuration_ends_at_the_first_host(story: Story) -> None:
    """The kubelet does not start with it: it is set back there, the rollout stops and says why, and nobody else is touched."""
    fleet, wishes = story.fleet, story.wishes
    with chapter(story, 3):
        files = [host.read(CONFIG) for host in fleet.hosts]
        runs = {host.name: fleet.runs(host) for host in fleet.hosts}
        wishes.kubelet_is("kubelet-bad", story.following, "next", feature_gates={"NoSuchGate": True})
        wishes.roll(wishes.kubelet, "kubelet-bad", batches=[1, 2])
        fleet.until("a rollout that stops", lambda: fleet.progress(wishes.kubelet) == "FailureThreshold")
        (failed,) = fleet.set(wishes.kubelet)["status"]["failed"]
        first = next(host for host in fleet.hosts if host.address == failed["name"])
        assert (failed["reason"], "kubelet.service does not stay up" in failed["message"]) == (
            "InstallFailed",
            True,
        )
        assert failed["message"].endswith("; the host is as it was before")
        assert [host.read(CONFIG) for host in fleet.hosts] == files
        fleet.until("Ready", lambda: fleet.is_ready(first))
        for host in fleet.hosts:
            wanted = fleet.machine(host)["spec"]["components"][wishes.kubelet]["component"]
            assert wanted == ("kubelet-bad" if host is first else "kubelet-2")
            assert (fleet.runs(host) == runs[host.name]) is (host is not first)
        wishes.roll(wishes.kubelet, "kubelet-2", batches=[1, 2])
        fleet.wait_complete(wishes.kubelet, "kubelet-2")
        story.wait_well()
        assert all(fleet.runs(host) == runs[host.name] for host in fleet.hosts if host is not first)


def test_4_what_is_broken_by_hand_is_healed_and_reported(story: Story) -> None:
    """Version, configuration, unit and program, on three hosts at once."""
    fleet, wishes, (one, two, three) = story.fleet, story.wishes, story.fleet.hosts
    with chapter(story, 4):
        since, config = now(), one.read(CONFIG)
        one.write(
            CONFIG, config.replace('"nodeStatusUpdateFrequency": "1s"', '"nodeStatusUpdateFrequency": "2s"')
        )
        assert one.read(CONFIG) != config
        by_hand = ("-q", "-y", "--allow-downgrades", "--allow-change-held-packages")
        two.run("apt-get", *by_hand, "install", f"containerd={story.newest[1]}")
        three.run("systemctl", "stop", "containerd")
        three.run("install", "/bin/true", PROGRAM)
        fleet.wait_healed(one, wishes.kubelet, story.kubelet, since)
        fleet.wait_healed(two, wishes.containerd, story.containerd, since)
        fleet.wait_healed(three, wishes.containerd, story.containerd, since)
        fleet.wait_healed(three, wishes.kubelet, story.kubelet, since)
        assert one.read(CONFIG) == config
        assert installed(two) == story.containerd
        assert three.run("systemctl", "is-active", "containerd").strip() == "active"
        assert three.run(PROGRAM, "--version").split()[-1] == f"v{story.following}"
        story.wait_well()


def test_5_an_upgrade_is_cut_short_at_each_step(story: Story) -> None:
    """Killed agents and a power cut, at each step of an upgrade of containerd and of the kubelet: each comes to its end, once."""
    fleet, wishes, (one, two, three) = story.fleet, story.wishes, story.fleet.hosts

    def power(host: Host) -> None:
        host.power_cut()
        host.power_on()

    def cut_short(entry: str, component: str, last: int) -> None:
        before = {host.name: {record["op"] for record in fleet.journal(host)} for host in fleet.hosts}
        boots = {host.name: host.boot_id for host in fleet.hosts}
        side_by_side(
            lambda: wishes.roll(entry, component, batches=[3]),
            lambda: fleet.at_step(one, 0, lambda: fleet.kill_agent(one)),
            lambda: fleet.at_step(two, 1, lambda: fleet.kill_agent(two)),
            lambda: fleet.at_step(three, last, lambda: power(three)),
        )
        fleet.wait_complete(entry, component)
        for host in fleet.hosts:
            new = [
                record for record in fleet.journal(host)
                if record["op"] not in before[host.name] and record["op"].startswith("component-")
            ]  # fmt: skip
            ends = [record["state"] for record in new if record["is"] == "ended"]
            assert (len({record["op"] for record in new}), ends) == (1, ["done"]), new
            assert [record["turns"] for record in new if record["is"] == "turn"] == [1], new
            (begun,) = (record["steps"] for record in new if record["is"] == "began")
            assert {0, 1, last} == set(range(len(begun))), begun  # no step is left out
            assert (host.boot_id == boots[host.name]) is (host is not three)

    with chapter(story, 5):
        # What a set may have unavailable holds for whoever disturbs its machines: all three at once, here.
        wishes.roll(wishes.kubelet, "kubelet-2", batches=[3])
        wishes.containerd_is("containerd-3", story.newest[1], sandbox_image="registry.k8s.io/pause:3.10")
        cut_short(wishes.containerd, "containerd-3", 0)
        story.containerd = story.newest[1]
        assert {installed(host) for host in fleet.hosts} == {story.containerd}
        assert {host.run("dpkg", "--audit") for host in fleet.hosts} == {""}
        wishes.kubelet_is("kubelet-3", NOW, "now", max_pods=50)
        cut_short(wishes.kubelet, "kubelet-3", 1)
        story.kubelet = NOW
        story.wait_well()
        assert all('"maxPods": 50' in host.read(CONFIG) for host in fleet.hosts)


def test_6_side_by_side_a_network_is_cut_a_disk_is_full_and_a_task_hangs(story: Story) -> None:
    """One host is away and keeps itself, hostile artifacts and a full disk change nothing, a hung task is healed; no daemon is disturbed elsewhere."""
    one, two, three = story.fleet.hosts
    with chapter(story, 6):
        with story.fleet.undisturbed(one, two):
            side_by_side(lambda: away(story, one), lambda: kept(story, two, three))
        story.wait_well()
        ledger = story.fleet.get(LEDGER)["status"]
        assert ledger.get("holds", []) == []
