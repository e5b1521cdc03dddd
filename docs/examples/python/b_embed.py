"""kubenode in an asyncio service: your own provider, an audit sink, and a veto of permits."""

from typing import TextIO

from platform_app import calendar, serve  # yours
from rack import RackProvider

from kubenode import Engine, KubeStore, Plugins, Policy, Record, Store, load
from kubenode.remedies import Allow, Deny, PermitRequest, Review


def change_freeze(request: PermitRequest) -> Review:
    """Veto while nothing may change; a reviewer vetoes or narrows, and never widens."""
    until = calendar.frozen_until(request.now)
    return Deny(reason="change freeze", until=until) if until else Allow()


async def beside(store: Store, rack: RackProvider, log: TextIO) -> None:
    """Serve, with kubenode beside it on any store."""

    def audit(record: Record) -> None:
        log.write(record.to_json() + "\n")

    plugins = Plugins.discover(providers=[rack], reviewers={"freeze": change_freeze}, sinks={"audit": audit})
    policy = Policy.of(load("policies/"))
    async with Engine(store, plugins=plugins, policy=policy, identity="platform"):
        await serve()  # kubenode works beside it


async def main(rack: RackProvider, log: TextIO) -> None:
    """Serve, with kubenode beside it on the cluster of a context of your kubeconfig."""
    async with KubeStore.connect(context="prod") as store:
        await beside(store, rack, log)
