"""What befalls the hosts of a story side by side: a network that is cut, hostile artifacts, a full disk, a task that hangs."""

import json
from datetime import datetime
from typing import Any, Final

from tests.hosts.agent import UNIT
from tests.hosts.fleet import KERNEL_LOG, now
from tests.hosts.host import Host
from tests.hosts.story import Story
from tests.hosts.wishes import BOOT_FILE, BOOT_TEXT, TOOL

APPLIED: Final = "/var/lib/kubenode/applied.json"
STORE: Final = "/opt/kubenode/artifacts"
HUNG: Final = "INFO: task dd:4121 blocked in I/O wait for more than 120 seconds."
JOBS: Final = "/apis/kubenode.dev/v1alpha1/remedyoperationjobs"
LEDGER: Final = "/apis/kubenode.dev/v1alpha1/riskledgers/cluster"


def away(story: Story, host: Host) -> None:
    """Cut a host off: what it was last told it keeps, also what is broken meanwhile; all that is told when it is back."""
    fleet, wishes, since = story.fleet, story.wishes, now()
    others = {
        other.name: fleet.condition(other, "Ready")["lastTransitionTime"]
        for other in fleet.hosts
        if other is not host
    }
    boot, process = host.boot_id, host.run("systemctl", "show", "-P", "MainPID", UNIT)
    host.cut_network()
    host.write(BOOT_FILE, "")
    fleet.until("a Node that is Unknown", lambda: fleet.condition(host, "Ready").get("status") == "Unknown")
    fleet.until("a repair without a server", lambda: host.place(BOOT_FILE).read_text() == BOOT_TEXT, 150)
    spooled = json.loads(host.place(APPLIED).read_text())["machine"]["status"]["agent"]["components"][
        wishes.boot
    ]
    assert datetime.fromisoformat(spooled["driftedAt"]) >= since
    assert not fleet.is_ready(host)
    assert "driftedAt" not in fleet.report(host, wishes.boot)
    host.restore_network()
    fleet.wait_healed(host, wishes.boot, "1", since)
    fleet.wait_well(host, story.versions())
    assert (host.boot_id, host.run("systemctl", "show", "-P", "MainPID", UNIT)) == (boot, process)
    for other in fleet.hosts:
        if other.name in others and other.name != "n3":
            assert fleet.condition(other, "Ready")["lastTransitionTime"] == others[other.name]


def kept(story: Story, two: Host, three: Host) -> None:
    """Of two hosts: hostile artifacts, a full disk, and then a task that hangs."""
    with story.fleet.undisturbed(two, three):
        hostile(story, two, three)
        full(story, two, three)
    hangs(story, three)


def hostile(story: Story, two: Host, three: Host) -> None:
    """Serve what must not be taken: the first host says why and keeps what it has, the rollout stops, the other is left alone."""
    fleet, wishes = story.fleet, story.wishes
    for host in (two, three):
        fleet.plane.kubectl("label", "machine", host.address, "tool=yes")
    wishes.tool_is("tool-good", "good", "tool-1")
    wishes.roll("tool", "tool-good", batches=[2], labels={"tool": "yes"})
    fleet.wait_complete("tool", "tool-good")
    good = [host.run("sha256sum", TOOL) for host in (two, three)]
    for name, how, more, says in (
        ("tool-cut", "truncated", {}, "ended after"),
        ("tool-wrong", "good", {"sha256": "0" * 64}, "correct the component's url or sha256"),
        ("tool-endless", "endless", {}, "more than 1073741824 bytes"),
        ("tool-loop", "loop", {}, "redirect more than 5 times"),
    ):
        wishes.tool_is(name, how, "tool-2", **more)
        wishes.roll("tool", name, batches=[1], labels={"tool": "yes"})
        _, message = fleet.stopped("tool", name)
        assert says in message
        wanted = [fleet.machine(host)["spec"]["components"]["tool"]["component"] for host in (two, three)]
        assert sorted(wanted) == sorted(["tool-good", name])
        assert [host.run("sha256sum", TOOL) for host in (two, three)] == good
    wishes.roll("tool", "tool-good", batches=[2], labels={"tool": "yes"})
    fleet.wait_complete("tool", "tool-good")


def full(story: Story, host: Host, other: Host) -> None:
    """Fill the disk of a host's artifacts: it says so and keeps what it has; when there is room it goes on."""
    fleet, wishes = story.fleet, story.wishes
    small = "/srv/small"
    host.run("install", "-d", small)
    host.run("mount", "-t", "tmpfs", "-o", "size=400m,mode=0755", "tmpfs", small)
    host.run("cp", "-a", f"{STORE}/.", small)
    host.run("mount", "--bind", small, STORE)
    host.run("dd", "if=/dev/zero", f"of={small}/ballast", "bs=1M", check=False)
    assert host.run("df", "--output=avail", STORE).split()[1] == "0"
    before = host.run("sha256sum", TOOL)
    wishes.tool_is("tool-next", "good", "tool-2")
    wishes.roll("tool", "tool-next", batches=[2], labels={"tool": "yes"})
    failed, message = fleet.stopped("tool", "tool-next")
    assert (failed, "MiB" in message) == (host, True), message
    assert host.run("sha256sum", TOOL) == before
    fleet.until("the other", lambda: other.run("sha256sum", TOOL) != before)
    host.run("rm", f"{small}/ballast")
    wishes.tool_is("tool-again", "good", "tool-2")
    wishes.roll("tool", "tool-again", batches=[2], labels={"tool": "yes"})
    fleet.wait_complete("tool", "tool-again")
    assert host.run("sha256sum", TOOL) == other.run("sha256sum", TOOL) != before


def hangs(story: Story, host: Host) -> None:
    """Let the kernel of a host say that a task hangs: condition, permit, reboot, and a proof that it helped."""
    fleet, boot = story.fleet, host.boot_id
    spec = {
        "condition": {"type": "KernelDeadlock", "status": "True", "for": "1s"},
        "ladder": [{"action": "reboot", "timeout": "1m"}], "verification": {"dwell": "2s", "timeout": "2m"},
    }  # fmt: skip
    fleet.apply("NodeRemedier", "hung-task", spec)
    host.run("tee", "-a", KERNEL_LOG, input=f"{HUNG}\n")
    fleet.until("the condition", lambda: fleet.condition(host, "KernelDeadlock").get("message") == HUNG)
    fleet.until("the permit", lambda: permits(story) == [host.address])
    host.await_reboot()

    def job() -> dict[str, Any]:
        (found,) = fleet.get(JOBS)["items"]
        return dict(found["status"])

    fleet.until("the proof", lambda: job().get("phase") == "Succeeded", 90)
    (attempt,) = job()["attempts"]
    assert attempt["action"] == "reboot"
    assert fleet.condition(host, "KernelDeadlock")["status"] == "False"
    assert host.boot_id != boot
    fleet.wait_well(host, story.versions())
    assert permits(story) == []
    acts = fleet.get(LEDGER)["status"]["acts"]
    assert [line for line in acts.splitlines() if "Remedy" in line and host.address in line]


def permits(story: Story) -> list[str]:
    """Name the machines that have a permit for a remedy now."""
    holds = story.fleet.get(LEDGER)["status"].get("holds", ())
    return [hold["machine"] for hold in holds if hold["cause"] == "Remedy"]
