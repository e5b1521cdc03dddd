"""Machines of Cluster API that are adopted in a simulation: the real provider before a management cluster in memory."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core.hookspecs import CreateRequest, Guard, Instance, Page
from kubenode.core.instance.seen import MACHINE_TAG
from kubenode.providers.clusterapi import ClusterApiParams, ClusterApiProvider, ClusterApiSettings
from kubenode.runtime.sim.cloud import SimCloud, all_of
from kubenode.runtime.sim.story import Cast
from tests.providers.clusterapi.fake import FakeManagement

POOL: Final = "pool"
OWNER: Final = "md-0"
UNIT: Final = "kubelet.service"
FILE: Final = "/etc/net.conf"
SETTINGS: Final = ClusterApiSettings(calls_per_second=1e6, burst=1_000_000)


def capi_name(machine: str) -> str:
    """Give the name of the Machine of Cluster API that one of ours has adopted."""
    return f"{OWNER}-{int(machine[1:]):04}"


@attrs.define
class ApiCloud(SimCloud):
    """A simulated cloud whose calls are those of the Cluster API provider, and whose truth is the management cluster."""

    management: FakeManagement = attrs.field(kw_only=True)
    provider: ClusterApiProvider = attrs.field(init=False)
    here: set[str] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.provider = ClusterApiProvider(SETTINGS, send=self.management.send)
        self.name = self.provider.name
        self.params = ClusterApiParams  # type: ignore[assignment]

    @property
    def made(self) -> tuple[Instance, ...]:
        """Give the Machines that are ours."""
        return all_of(self.provider.find)

    def choices(self, params: Any) -> Any:
        """There is one."""
        return (params,)

    def create(self, request: CreateRequest[Any]) -> Instance:
        """Adopt a Machine; its host comes up, as far as kubenode is concerned."""

        def call() -> Instance:
            one = self.provider.create(request)
            if one.id not in self.here:
                self.here.add(one.id)
                self.born(attrs.evolve(one, tags={**one.tags, MACHINE_TAG: request.machine}))
            return one

        return self._called("create", call)

    def get(self, instance_id: str) -> Instance:
        """Look at one Machine."""
        return self._called("get", partial(self.provider.get, instance_id))

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give a page of them."""
        return self._called("find", partial(self.provider.find, tags, cursor))

    def guard(self, instance_id: str, guard: Guard) -> None:
        """Say what is left to kubenode."""
        self._called("guard", partial(self.provider.guard, instance_id, guard))


def cast_of(machines: int, *, zones: str = "a") -> Cast:
    """Give adopted machines, and a set that brings each to a component of class restart, and then to one of class reboot."""
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(5))
    rollout = m.Rollout(
        batches=(m.IntOrPercent(1),), max_unavailable=m.IntOrPercent(1), min_ready_seconds=30,
    )  # fmt: skip
    first = m.MachineComponentSet(
        metadata=m.ObjectMeta(name="net"),
        spec=m.MachineComponentSetSpec(
            name="net", component="net-1", selector=m.Selector(match_labels={POOL: "x"}), rollout=rollout
        ),
    )
    adopted = tuple(
        m.Machine(
            metadata=m.ObjectMeta(name=f"m{number}", labels={POOL: "x"}),
            spec=m.MachineSpec(
                infrastructure=m.Infrastructure(provider="clusterapi", parameters={"machine": capi_name(f"m{number}")}),
                deletion_policy=m.DeletionPolicy.RELEASE,
            ),
        )
        for number in range(1, machines + 1)
    )  # fmt: skip
    return Cast(
        objects=(
            m.RiskPolicy(metadata=m.ObjectMeta(name="lax"), spec=m.RiskPolicySpec(limits=(limit,))),
            _component("1", m.Disruption.RESTART),
            _component("2", m.Disruption.RESTART),
            _component("3", m.Disruption.REBOOT),
            first,
            *adopted,
        )
    )


def _component(version: str, disruption: m.Disruption) -> m.MachineComponent:
    parameters = {"path": FILE, "content": f"{version}\n"}
    if disruption is m.Disruption.RESTART:
        parameters["unit"] = UNIT
    spec = m.MachineComponentSpec(
        version=version, driver="file", disruption=disruption, parameters=parameters
    )
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"net-{version}"), spec=spec)
