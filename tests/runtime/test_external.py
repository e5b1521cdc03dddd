"""Requests of others in the runtime: whom they are about, which change concerns which, and how they are named and written."""

import asyncio
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import SetFinalizers
from kubenode.core.external.decide import ExternalSnapshot
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.seen import InstanceSight
from kubenode.core.model import Json, Kind
from kubenode.core.policy import Policy
from kubenode.runtime.controller.external import ExternalController
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.rights import EXTERNAL, rights
from kubenode.runtime.controller.wiring import NAMES, controllers
from kubenode.runtime.engine.apply import NoHands, WriteStatus, apply
from kubenode.runtime.manifests import ASKERS, install
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache
from kubenode.runtime.store.contract import EventType, MergePatch, WatchEvent
from tests.runtime.followed import NOW, World, episode, machine, node, served

OWNER = m.OwnerReference(api_version="cluster.x-k8s.io/v1beta2", kind="Machine", name="md-0-1")


def request(name: str = "n1", namespace: str = "ns", **meta: Any) -> m.KubenodeRemediation:
    """A request as a health check makes it."""
    return m.KubenodeRemediation(
        metadata=m.ObjectMeta(name=name, namespace=namespace, uid=f"u-{name}", **meta)
    )


def ran(name: str = "m1", on: str = "n1") -> m.Machine:
    """A machine that was Running with that Node."""
    one = machine(name, node=on)
    return attrs.evolve(one, status=attrs.evolve(one.status, node_ref=m.NodeRef(name=on, uid=f"uid-{on}")))


class Shows(Instances):
    """Shows the Machines of Cluster API that machines are."""

    def __init__(self) -> None:
        super().__init__(Plugins())
        self.names: dict[str, str] = {}

    def sight(self, machine: m.Machine) -> InstanceSight | None:
        """Show one with its name as a tag; nothing of a machine that is not asked of a provider."""
        name = self.names.get(machine.metadata.name)
        if name is None:
            return None
        tags = {"cluster.x-k8s.io/machine": name}
        return InstanceSight(
            known=Instance(id="i", state=InstanceState.RUNNING, zone="", tags=tags) if name else None
        )


class Bench(World):
    """A cache with requests, and the controller that looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache((*m.WATCHED, *m.REMEDIATION))
        self.inventory = Inventory(self.cache)
        self.instances = Shows()
        self.controller = ExternalController(self.cache, self.inventory, self.instances)

    def concerns(self, obj: m.Object, *, gone: bool = False) -> list[str]:
        """Let something change; give the requests that it concerns."""
        change = self.tell(obj, gone=gone)
        assert change is not None
        return sorted(set(self.controller.concerns(change)))

    def asks(self, key: str) -> ExternalSnapshot | None:
        """Give the snapshot of a request."""
        question = self.controller.question(key, NOW, {})
        if question is None:
            return None
        assert question.subject == question.snapshot.request
        assert question.stored == question.snapshot.request.status
        found: ExternalSnapshot = question.snapshot
        return found


@pytest.fixture
def bench() -> Bench:
    """With one machine and its Node."""
    made = Bench()
    made.tell(ran())
    made.tell(node("n1"))
    return made


def test_a_request_is_about_the_machine_of_its_node(bench: Bench) -> None:
    """With the episodes of that machine."""
    bench.tell(episode("m1", 0))
    assert bench.concerns(request()) == ["ns/n1"]
    seen = bench.asks("ns/n1")
    assert seen is not None
    assert seen.machine is not None
    assert seen.node is not None
    assert (seen.machine.metadata.name, seen.node.metadata.name, seen.others) == ("m1", "n1", ())
    assert [one.metadata.name for one in seen.jobs] == ["m1-0"]
    assert bench.controller.decide(seen, Policy()).effects != ()


def test_a_node_that_two_machines_say_they_are_is_nobodys(bench: Bench) -> None:
    """Nor is one that no machine is, or that is not the one that the machine was Running with."""
    bench.tell(request())
    bench.tell(request("n9"))
    bench.tell(machine("m2", node="n1"))
    for key in ("ns/n1", "ns/n9"):
        seen = bench.asks(key)
        assert seen is not None
        assert (seen.machine, seen.node, seen.jobs) == (None, None, ())
    bench.tell(machine("m2", node="n1"), gone=True)
    bench.tell(attrs.evolve(node("n1"), metadata=attrs.evolve(node("n1").metadata, uid="another")))
    seen = bench.asks("ns/n1")
    assert seen is not None
    assert seen.machine is not None
    assert seen.node is None


def test_a_machine_of_cluster_api_is_found_by_what_its_provider_shows(bench: Bench) -> None:
    """In the namespace of the request; one that was not seen yet is not it."""
    bench.tell(request("md-0-1", owner_references=(OWNER,)))
    for names, found in (
        ({}, None),
        ({"m1": ""}, None),
        ({"m1": "other/md-0-1"}, None),
        ({"m1": "ns/md-0-1"}, "m1"),
    ):
        bench.instances.names = names
        seen = bench.asks("ns/md-0-1")
        assert seen is not None
        assert (None if seen.machine is None else seen.machine.metadata.name) == found


def test_two_of_one_name_in_two_namespaces_are_two(bench: Bench) -> None:
    """Both are about one node, so each knows of the other."""
    bench.tell(request())
    bench.tell(request(namespace="other"))
    bench.asks("ns/n1")
    seen = bench.asks("other/n1")
    assert seen is not None
    assert [one.metadata.key for one in seen.others] == ["ns/n1"]
    assert bench.concerns(request(namespace="other", labels={"a": "b"})) == ["ns/n1", "other/n1"]
    assert bench.concerns(request(namespace="other"), gone=True) == ["ns/n1", "other/n1"]
    assert bench.asks("other/n1") is None
    alone = bench.asks("ns/n1")
    assert alone is not None
    assert alone.others == ()


def test_what_concerns_a_machine_concerns_its_requests_and_those_of_nobody(bench: Bench) -> None:
    """Its Node, its episodes, and itself; a rule concerns all."""
    bench.tell(request())
    bench.tell(request("n9"))
    bench.tell(ran("m3", "n3"))
    bench.tell(request("n3"))
    for key in ("ns/n1", "ns/n9", "ns/n3"):
        bench.asks(key)
    assert bench.concerns(attrs.evolve(ran(), metadata=attrs.evolve(ran().metadata, labels={"a": "b"}))) == [
        "ns/n1",
        "ns/n9",
    ]
    assert bench.concerns(node("n1", ready=False)) == ["ns/n1", "ns/n9"]
    assert bench.concerns(episode("m3", 0)) == ["ns/n3", "ns/n9"]
    rule = m.NodeRemedier(
        metadata=m.ObjectMeta(name="r"),
        spec=m.NodeRemedierSpec(
            condition=m.ConditionMatch(type="RemediationAsked"), ladder=(m.Rung(action="reboot"),)
        ),
    )
    assert bench.concerns(rule) == ["ns/n1", "ns/n3", "ns/n9"]


def test_what_is_written_goes_to_its_namespace() -> None:
    """By the part of its key before the slash."""
    sent: list[tuple[Kind, str, str]] = []

    class Store:
        async def patch(self, kind: Kind, name: str, patch: MergePatch, *, subresource: str = "") -> Json:
            sent.append((kind, name, subresource))
            return {"metadata": {"resourceVersion": "8"}}

    where = m.ref(request())
    acts = (
        SetFinalizers(object=where, finalizers=("f",), resource_version="7"),
        WriteStatus(object=where, body={}, resource_version="7"),
    )
    outcome = asyncio.run(apply(acts, Store(), NoHands()))  # type: ignore[arg-type]
    home = m.KubenodeRemediation.KIND.within("ns")
    assert sent == [(home, "n1", ""), (home, "n1", "status")]
    assert {one.object.name for one in outcome.written} == {"ns/n1"}


def test_the_cache_takes_listings_of_many_namespaces() -> None:
    """And lets go the one that is not listed any more."""
    cache = Cache(m.REMEDIATION)
    both = [served(request(), 1), served(request(namespace="other"), 2)]
    assert [one.name for one in cache.replace(m.KubenodeRemediation, both, 2)] == ["ns/n1", "other/n1"]
    read = {"ns/n1": wire.read(both[0], m.KubenodeRemediation)}
    (change,) = cache.replace(m.KubenodeRemediation, [], 3, read=read)
    assert (change.name, change.after) == ("other/n1", None)
    gone = cache.take(m.KubenodeRemediation, WatchEvent(type=EventType.DELETED, object=served(request(), 4)))
    assert gone is not None
    assert gone.name == "ns/n1"


def test_it_runs_only_when_it_is_named() -> None:
    """And needs rights that nobody else does."""
    assert EXTERNAL not in NAMES
    known = controllers(Plugins(), only=(*NAMES, EXTERNAL)).cache.kinds
    assert set(m.REMEDIATION) <= set(known)
    assert not set(m.REMEDIATION) & set(controllers(Plugins()).cache.kinds)
    more = {f"{one.verb} {one.resource}" for one in {*rights((EXTERNAL,))} - {*rights()}}
    plural = "kubenoderemediations"
    assert more == {f"{verb} {plural}" for verb in ("list", "watch", "patch")} | {f"patch {plural}/status"}


def test_what_is_installed_for_it_is_an_option() -> None:
    """The kinds, in namespaces, and the role for those who ask, which they add to their own by its labels."""
    plain, full = install(), install(remediation=True)
    more = [one for one in full if one not in plain]
    crds = {
        one["metadata"]["name"]: one["spec"]["scope"]
        for one in more
        if one["kind"] == "CustomResourceDefinition"
    }
    assert crds == {
        "kubenoderemediations.kubenode.dev": "Namespaced", "kubenoderemediationtemplates.kubenode.dev": "Namespaced",
    }  # fmt: skip
    (askers,) = [one for one in more if one["metadata"]["name"] == ASKERS]
    assert askers["metadata"]["labels"] == {
        "cluster.x-k8s.io/aggregate-to-manager": "true", "rbac.ext-remediation/aggregate-to-ext-remediation": "true",
    }  # fmt: skip
    assert {one for rule in askers["rules"] for one in rule["resources"]} == {
        "kubenoderemediations", "kubenoderemediationtemplates",
    }  # fmt: skip
    assert not any("status" in resource for rule in askers["rules"] for resource in rule["resources"])
