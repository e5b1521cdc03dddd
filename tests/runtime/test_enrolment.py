"""Tokens: what is made for one, in which order, and that nobody is told of it but who asked."""

import asyncio
import json
import re
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from kubenode.core.enrol.identity import token_group
from kubenode.core.errors import AlreadyExists, InvalidObjectError, ObjectNotFound
from kubenode.core.model import Json, Kind
from kubenode.runtime.cli import live
from kubenode.runtime.cli.app import app
from kubenode.runtime.enrolment import issue, new_token
from kubenode.runtime.store.contract import Listing, MergePatch

EXPIRES = datetime(2026, 3, 2, 9, tzinfo=UTC)
OLD = {
    "metadata": {"name": "bootstrap-token-old111", "uid": "o1"},
    "data": {"token-secret": "b2xkLXNlY3JldA=="},
}


def machine(name: str = "n7", **metadata: Any) -> Json:
    """A Machine as stored."""
    return {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": name, "uid": "u1", **metadata},
        "spec": {"host": {"address": "h"}},
    }  # fmt: skip


class Server:
    """Has one Machine, one earlier token, and the role of all agents; notes what is written."""

    def __init__(self, *, reads: tuple[str, ...] = (), there: tuple[str, ...] = ()) -> None:
        self.writes: list[tuple[str, str, Any]] = []
        self._reads = reads
        self._there = there

    async def get(self, kind: Kind, name: str) -> Json:
        """Give the Machine, or the role of all agents."""
        if kind.name == "Machine" and name == "n7":
            return machine()
        if kind.name == "ClusterRole" and name == "kubenode-agent" and self._reads:
            return {"rules": [{"resources": list(self._reads), "verbs": ["get"]}]}
        raise ObjectNotFound(f"{kind.plural} {name} not found")

    async def find(self, kind: Kind, *, labels: Any = None, limit: int = 0) -> Listing:
        """Give the earlier token."""
        if kind.name == "Secret":
            assert (kind.namespace, labels) == ("kube-system", {"kubenode.dev/machine": "n7"})
            return Listing(items=(OLD,), resource_version="1")
        return Listing(items=(machine(),), resource_version="1")

    async def create(self, kind: Kind, obj: Json, *, dry_run: bool = False) -> Json:
        """Note it."""
        if kind.name in self._there:
            raise AlreadyExists("there")
        self.writes.append((f"create{' dry' if dry_run else ''}", kind.name, obj))
        return obj

    async def patch(self, kind: Kind, name: str, patch: MergePatch, *, dry_run: bool = False) -> Json:
        """Note it."""
        self.writes.append((f"patch{' dry' if dry_run else ''}", kind.name, patch.body))
        return dict(patch.body)

    async def delete(self, kind: Kind, name: str, *, uid: str, dry_run: bool = False) -> Json:
        """Note it."""
        self.writes.append((f"delete{' dry' if dry_run else ''}", kind.name, (name, uid)))
        return {}


def issued(server: Server, of: Json | None = None, *, dry_run: bool = False) -> Any:
    """Make a token."""
    stub: Any = server
    return asyncio.run(issue(stub, machine() if of is None else of, EXPIRES, dry_run=dry_run))


def test_a_token_comes_with_the_right_to_read_and_ends_the_one_before() -> None:
    """Role and binding first, so that an agent that enrols can read; all of it goes with the Machine."""
    server = Server(reads=("machinecomponents",))
    token = issued(server)
    assert [(verb, kind) for verb, kind, _ in server.writes] == [
        ("create", "ClusterRole"), ("create", "ClusterRoleBinding"), ("delete", "Secret"), ("create", "Secret"),
    ]  # fmt: skip
    role, binding, gone, secret = (what for _, _, what in server.writes)
    assert role["rules"] == [
        {
            "apiGroups": ["kubenode.dev"],
            "resources": ["machines"],
            "verbs": ["get", "list", "watch"],
            "resourceNames": ["n7"],
        }
    ]
    assert [one["name"] for one in binding["subjects"]] == ["kubenode:uid:u1"]
    assert gone == ("bootstrap-token-old111", "o1")
    owner = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "name": "n7", "uid": "u1"}
    for one in (role, binding, secret):
        assert one["metadata"]["ownerReferences"] == [owner]
        assert one["metadata"]["labels"] == {"kubenode.dev/machine": "n7"}
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    data = secret["stringData"]
    assert data["auth-extra-groups"] == f"system:bootstrappers:kubenode,{token_group('u1')}"
    assert (data["expiration"], data["usage-bootstrap-authentication"]) == ("2026-03-02T09:00:00Z", "true")
    assert f"{data['token-id']}.{data['token-secret']}" == token.text
    assert secret["metadata"]["name"] == f"bootstrap-token-{token.id}"


def test_where_agents_read_all_machines_there_is_no_role_of_one() -> None:
    """Each would make every request of everybody slower."""
    server = Server(reads=("machines", "machinecomponents"))
    issued(server)
    assert [(verb, kind) for verb, kind, _ in server.writes] == [("delete", "Secret"), ("create", "Secret")]


def test_a_role_that_is_there_is_brought_to_this_machine() -> None:
    """It may be of an earlier Machine, which the server has not cleaned up yet."""
    server = Server(there=("ClusterRole", "ClusterRoleBinding"))
    issued(server)
    assert [(verb, kind) for verb, kind, _ in server.writes][:2] == [
        ("patch", "ClusterRole"),
        ("patch", "ClusterRoleBinding"),
    ]


def test_a_dry_run_stores_nothing() -> None:
    """The server judges each write."""
    server = Server()
    issued(server, dry_run=True)
    assert {verb for verb, _, _ in server.writes} == {"create dry", "delete dry"}


@pytest.mark.parametrize(("wrong", "what"), [
    ({"name": "m" * 50}, "longer than the 49 characters"), ({"deletionTimestamp": "2026-03-02T09:00:00Z"}, "is being deleted"),
])  # fmt: skip
def test_a_machine_that_can_have_no_agent_gets_no_token(wrong: Any, what: str) -> None:
    """Nothing is written."""
    server = Server()
    with pytest.raises(InvalidObjectError, match=what):
        issued(server, machine(**{"name": "n7", **wrong}))
    assert server.writes == []


def test_a_token_is_random_and_hides_its_secret() -> None:
    """Of the form that the server takes, and with a repr that may be logged."""
    tokens = [new_token(machine(), EXPIRES) for _ in range(50)]
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", one.text) for one in tokens)
    assert len({one.id for one in tokens}) == len({one.secret for one in tokens}) == 50
    assert not any(one.secret in repr(one) for one in tokens)


# The command.


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Any, Server]:
    """Run `kubenode machine token` against a server."""
    server = Server()
    monkeypatch.setattr(live, "connect", lambda *_, **__: nullcontext(server))
    return CliRunner().invoke(app, ["machine", "token", *words]), server


def secret(server: Server) -> str:
    """Give the token that was stored."""
    data = server.writes[-1][2]["stringData"]
    return f"{data['token-id']}.{data['token-secret']}"


def test_the_command_prints_the_token_once_and_what_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """For people, and as one document."""
    result, server = run(monkeypatch, "n7")
    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first == secret(server)
    assert rest[-1].strip() == "ask for CN=kubenode:agent:n7 O=kubenode:agents O=kubenode:uid:u1"
    assert "old-secret" not in result.output
    result, server = run(monkeypatch, "n7", "--for", "15m", "-o", "json")
    told = json.loads(result.stdout)
    assert told["token"] == secret(server)
    assert (told["machine"], told["uid"], told["user"], told["groups"]) == (
        "n7", "u1", "kubenode:agent:n7", ["kubenode:agents", "kubenode:uid:u1"],
    )  # fmt: skip
    left = datetime.fromisoformat(told["expires"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


def test_a_dry_run_prints_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be none."""
    result, _ = run(monkeypatch, "n7", "--dry-run", "-o", "json")
    assert json.loads(result.stdout)["token"] is None
    result, server = run(monkeypatch, "n7", "--dry-run")
    assert secret(server) not in result.output
    assert "nothing changed" in result.stdout


@pytest.mark.parametrize("lasting", ["25h", "0s", "soon", "-5m"])
def test_a_token_lasts_a_day_at_most(monkeypatch: pytest.MonkeyPatch, lasting: str) -> None:
    """Wrong use, and nothing is written."""
    result, server = run(monkeypatch, "n7", "--for", lasting)
    assert result.exit_code == 2
    assert server.writes == []


def test_no_such_machine_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere."""
    result, server = run(monkeypatch, "n8")
    assert (result.exit_code, server.writes) == (1, [])
    assert "there are: n7" in result.stderr
