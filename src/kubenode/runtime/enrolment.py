"""To let a host become the agent of a Machine: a bootstrap token for that incarnation of it, and the right to read it.

It is done with the rights of whoever installs agents; the controller can neither make nor read a token. The Secret and
the role are owned by the Machine, so the server deletes them with it.
"""

import secrets
import string
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import attrs

from kubenode.core import wire
from kubenode.core.enrol.identity import BOOTSTRAPPERS, check_enrollable, groups_of, token_group, user_of
from kubenode.core.errors import AlreadyExists, ObjectNotFound
from kubenode.core.model import Json, Kind, Machine
from kubenode.core.model.meta import MACHINE_LABEL
from kubenode.core.reading import format_stamp
from kubenode.runtime.engine.apply import TOKENS, secret_name
from kubenode.runtime.manifests import AGENT, owned_by, read_role
from kubenode.runtime.policies import TOKEN_TYPE
from kubenode.runtime.store.contract import Api, MergePatch, Store

ALPHABET: Final = string.ascii_lowercase + string.digits
_ID, _SECRET = 6, 16
_RBAC: Final = "rbac.authorization.k8s.io"
_ROLES: Final = Kind(name="ClusterRole", plural="clusterroles", group=_RBAC, version="v1", served=False)
_BINDINGS: Final = Kind(name="ClusterRoleBinding", plural="clusterrolebindings", group=_RBAC, version="v1", served=False)  # fmt: skip


@attrs.frozen(kw_only=True)
class BootstrapToken:
    """A token with which one host can enrol, once.

    Attributes:
        machine: whose agent it becomes.
        uid: of that Machine.
        id: public.
        secret: never shown but to whoever made it.
        expires: from then on the server does not know it.
    """

    machine: str
    uid: str
    id: str
    secret: str = attrs.field(repr=False)
    expires: datetime

    @property
    def text(self) -> str:
        """What the host presents."""
        return f"{self.id}.{self.secret}"

    @property
    def user(self) -> str:
        """The common name that its certificate request has."""
        return user_of(self.machine)

    @property
    def groups(self) -> tuple[str, ...]:
        """The organisations that its certificate request has."""
        return groups_of(self.uid)


def new_token(machine: Json, expires: datetime) -> BootstrapToken:
    """Make a token for a Machine, as stored; nothing is written."""
    metadata = machine["metadata"]
    return BootstrapToken(
        machine=metadata["name"], uid=metadata["uid"], id=_random(_ID), secret=_random(_SECRET), expires=expires
    )  # fmt: skip


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def secret_of(token: BootstrapToken, machine: Json) -> Json:
    """Give the Secret by which the server knows a token."""
    return {
        "apiVersion": "v1", "kind": "Secret", "type": TOKEN_TYPE,
        "metadata": {
            "name": secret_name(token.id), "namespace": TOKENS.namespace, "labels": {MACHINE_LABEL: token.machine},
            "ownerReferences": [owned_by(machine)],
        },
        "stringData": {
            "token-id": token.id, "token-secret": token.secret, "expiration": format_stamp(token.expires),
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": f"{BOOTSTRAPPERS},{token_group(token.uid)}",
            "description": f"kubenode: for the agent of Machine {token.machine}, once",
        },
    }  # fmt: skip


async def announce(store: Store, token: BootstrapToken) -> None:
    """Let the server know a token that was computed; one that it knows, or that was used and deleted, is not made good again.

    That is why it is not looked for first: whoever asks needs no right to read any.

    Raises:
        ApiError: the server refuses, or cannot be reached.
    """
    machine: Json = {"metadata": {"name": token.machine, "uid": token.uid}}
    with suppress(AlreadyExists):
        await store.create(TOKENS, secret_of(token, machine))


async def issue(store: Api, machine: Json, expires: datetime, *, dry_run: bool = False) -> BootstrapToken:
    """Give a Machine a token; those that it had are deleted. Its agent may read it from now on.

    Args:
        store: with the rights to make Secrets in kube-system and cluster roles.
        machine: as stored.
        expires: of the token.
        dry_run: let the server judge it, and store nothing.

    Raises:
        InvalidObjectError: this Machine can have no agent.
        ApiError: the server refuses, or cannot be reached.
    """
    check_enrollable(wire.read(machine, Machine))
    token = new_token(machine, expires)
    if not await _read_by_all(store):
        for kind, obj in zip((_ROLES, _BINDINGS), read_role(machine), strict=True):
            await _put(store, kind, obj, dry_run=dry_run)
    for old in (await store.find(TOKENS, labels={MACHINE_LABEL: token.machine})).items:
        await store.delete(TOKENS, old["metadata"]["name"], uid=old["metadata"]["uid"], dry_run=dry_run)
    await store.create(TOKENS, secret_of(token, machine), dry_run=dry_run)
    return token


async def _read_by_all(store: Api) -> bool:
    """Tell whether every agent reads every Machine, as the manifests were installed."""
    try:
        rules: list[Any] = (await store.get(_ROLES, AGENT))["rules"]
    except ObjectNotFound:
        return False
    return any(Machine.KIND.plural in rule.get("resources", ()) for rule in rules)


async def _put(store: Api, kind: Kind, obj: Json, *, dry_run: bool) -> None:
    """Create an object, or bring the one of its name to it; whom a binding is for can be changed, its role cannot."""
    try:
        await store.create(kind, obj, dry_run=dry_run)
    except AlreadyExists:
        await store.patch(kind, obj["metadata"]["name"], MergePatch(obj), dry_run=dry_run)
