"""A provider whose instances are in memory: the reference of the contract, and a cloud for try-outs."""

import threading
from collections.abc import Mapping
from typing import Annotated

import attrs

from kubenode.core.errors import NotFound, TokenConflict
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState, Page, Power
from kubenode.core.model.meta import DnsLabel

PAGE = 50


@attrs.frozen(kw_only=True)
class MemoryParams:
    """What `spec.infrastructure.parameters` says for this provider."""

    zone: Annotated[DnsLabel, "the zone the instance is in"] = "a"


class MemoryProvider:
    """Instances in memory. Safe to be called from several threads, as providers are."""

    name = "memory"
    params = MemoryParams

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._tokens: dict[str, tuple[CreateRequest[MemoryParams], str]] = {}
        self._acts: dict[str, tuple[str, Power]] = {}

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Create an instance, or give the one that this token made before.

        Raises:
            TokenConflict: the token was used with other parameters.
        """
        with self._lock:
            known = self._tokens.get(request.token)
            if known is not None:
                if known[0] != request:
                    raise TokenConflict(f"token {request.token} was used with other parameters")
                return self._instances[known[1]]
            made = Instance(
                id=f"i-{len(self._tokens):08}",
                state=InstanceState.RUNNING,
                zone=request.params.zone,
                tags=dict(request.tags),
            )
            self._instances[made.id] = made
            self._tokens[request.token] = (request, made.id)
            return made

    def get(self, instance_id: str) -> Instance:
        """Look at one instance; a terminated one stays visible as such."""
        with self._lock:
            return self._known(instance_id)

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give the instances that carry all these tags, by id, a page at a time."""
        with self._lock:
            carry = [one for one in self._instances.values() if tags.items() <= one.tags.items()]
        rest = sorted((one for one in carry if cursor is None or one.id > cursor), key=lambda one: one.id)
        return Page(items=tuple(rest[:PAGE]), cursor=rest[PAGE - 1].id if len(rest) > PAGE else None)

    def delete(self, instance_id: str) -> None:
        """Terminate an instance; one that is gone already is no error."""
        with self._lock:
            if instance_id in self._instances:
                self._set(instance_id, InstanceState.TERMINATED)

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Act on the power of an instance; the same token twice is one act.

        Raises:
            NotFound: no such instance, or a terminated one.
            TokenConflict: the token was used for another act.
        """
        with self._lock:
            if self._known(instance_id).state is InstanceState.TERMINATED:
                raise NotFound(instance_id)
            act = (instance_id, action)
            known = self._acts.setdefault(token, act)
            if known != act:
                raise TokenConflict(f"token {token} was used for another act")
            if known is act:
                self._set(
                    instance_id, InstanceState.STOPPED if action is Power.OFF else InstanceState.RUNNING
                )

    def set_tags(self, instance_id: str, tags: Mapping[str, str]) -> None:
        """Set these tags, and leave the others.

        Raises:
            NotFound: no such instance.
        """
        with self._lock:
            known = self._known(instance_id)
            self._instances[instance_id] = attrs.evolve(known, tags={**known.tags, **tags})

    def _known(self, instance_id: str) -> Instance:
        if instance_id not in self._instances:
            raise NotFound(instance_id)
        return self._instances[instance_id]

    def _set(self, instance_id: str, state: InstanceState) -> None:
        self._instances[instance_id] = attrs.evolve(self._instances[instance_id], state=state)
