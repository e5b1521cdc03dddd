"""Enrolment on a real server: from a token to a certificate that works, and all that is refused on the way."""

import asyncio
import base64
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from kubenode.core.enrol.identity import groups_of, user_of
from kubenode.core.lease import CONTROLLER
from kubenode.runtime.controller.rights import ENROL, rights
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.embed import Engine, Plugins
from kubenode.runtime.enrolment import BootstrapToken, new_token, secret_of
from kubenode.runtime.record import Recorder, replay
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.rights import lease_events, lease_rights
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.access import (
    CSRS,
    MACHINES,
    MERGE,
    SECRETS,
    Asked,
    Client,
    admin,
    conditions,
    let_read,
    machine_body,
    pem,
)
from tests.cluster.test_controller import used
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KUBENODE = Path(sys.executable).with_name("kubenode")


class World:
    """A control plane with a controller that answers requests, and who may do all."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.admin = admin(plane)
        self.log = folder / "controller.log"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def on(cls, plane: ControlPlane, folder: Path) -> Iterator[Self]:
        """Install with enrolment, and run a controller for a while."""
        install(plane, enrolment=True)
        world = cls(plane, folder)
        try:
            world.start()
            yield world
        finally:
            world.stop()

    def start(self) -> None:
        """Start the controller, with the rights of the manifests and no more."""
        config = str(self.plane.kubeconfig(CONTROLLER_USER))
        before = len(self.log.read_text()) if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [KUBENODE, "controller", "--kubeconfig", config, "--listen", "none", "--lease-seconds", "3", "--enrolment",
                 "--verbose"],
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until(
            "a start", lambda: "event=started" in self.log.read_text()[before:], patience=120, logs=self.tail
        )  # fmt: skip

    def kill(self) -> None:
        """End the controller as a crash does; its Lease is left as it is."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=60)

    def stop(self) -> None:
        """End the controller in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=60) == 0, self.log.read_text()[-3000:]

    def machine(self, name: str) -> Any:
        """Make a Machine, and give it as stored."""
        status, made = self.admin.call("POST", MACHINES, machine_body(name))
        assert status == 201, made
        return made

    def token(self, machine: Any, lasting: timedelta = timedelta(hours=1)) -> BootstrapToken:
        """Make a token; the right to read the Machine is another matter."""
        made = new_token(machine, datetime.now(UTC) + lasting)
        status, answer = self.admin.call("POST", SECRETS, secret_of(made, machine))
        assert status == 201, answer
        return made

    def bearer(self, token: BootstrapToken) -> Client:
        """Give whoever has a token."""
        return Client(self.plane, token=token.text)

    def ask(self, client: Client, asked: Asked) -> None:
        """Store a request."""
        deadline = time.monotonic() + 20
        status, made = client.call("POST", CSRS, asked.body())
        while status == 401 and time.monotonic() < deadline:  # the server is told of a new token by a watch
            time.sleep(0.2)
            status, made = client.call("POST", CSRS, asked.body())
        assert status == 201, made

    def answer(self, name: str) -> dict[str, str]:
        """Wait for the answer to a request, and give it."""
        until(f"an answer to {name}", lambda: conditions(self.admin.get(f"{CSRS}/{name}")), logs=self.tail)
        return conditions(self.admin.get(f"{CSRS}/{name}"))

    def certificate(self, asked: Asked) -> Client:
        """Wait for the certificate, and give whoever has it."""
        until(
            "a certificate",
            lambda: self.admin.get(f"{CSRS}/{asked.name}")["status"].get("certificate"),
            logs=self.tail,
        )
        found = base64.b64decode(self.admin.get(f"{CSRS}/{asked.name}")["status"]["certificate"])
        return Client(self.plane, certificate=found, key=pem(asked.key))

    def tail(self) -> str:
        """Give the end of the controller's log."""
        return self.log.read_text()[-4000:]


@pytest.fixture(scope="module")
def world(control_plane_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A control plane of its own, installed with enrolment, and a controller."""
    folder = tmp_path_factory.mktemp("enrolment")
    with ControlPlane.start(control_plane_folder) as running, World.on(running, folder) as made:
        yield made


def good(world: World, machine: Any, name: str, **more: Any) -> Asked:
    """What a good agent of a Machine asks for."""
    metadata = machine["metadata"]
    return Asked(name=name, user=user_of(metadata["name"]), groups=groups_of(metadata["uid"]), **more)


def test_a_token_becomes_a_certificate_that_reads_and_reports_of_its_machine(world: World) -> None:
    """The whole way, from the command line on; then the token is gone, and the Machine says for which key it was."""
    machine = world.machine("e1")
    command = [
        KUBENODE,
        "machine",
        "token",
        "e1",
        "-o",
        "json",
        "--kubeconfig",
        str(world.plane.admin_kubeconfig),
    ]
    spare, token = (
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
        for _ in range(2)
    )
    assert token["uid"] == machine["metadata"]["uid"]
    # A cache of the server may still know the earlier one for a moment, but its Secret is gone.
    secrets = world.admin.call("GET", f"{SECRETS}?labelSelector=kubenode.dev/machine=e1")[1]["items"]
    assert [one["metadata"]["name"] for one in secrets] == [f"bootstrap-token-{token['token'][:6]}"]
    assert spare["token"] != token["token"]
    asked = good(world, machine, "e1-first")
    world.ask(Client(world.plane, token=token["token"]), asked)
    assert world.answer("e1-first") == {"Approved": "Enrolled"}
    agent = world.certificate(asked)
    status, seen = agent.call("GET", f"{MACHINES}/e1")
    assert (status, seen["metadata"]["uid"]) == (200, machine["metadata"]["uid"])
    body = {"status": {"agent": {"version": "9"}}}
    status, seen = agent.call("PATCH", f"{MACHINES}/e1/status", body, MERGE)
    assert (status, seen["status"]["agent"]["version"]) == (200, "9")
    token_id = token["token"][:6]
    until(
        "the end of the token",
        lambda: world.admin.get(f"{SECRETS}/bootstrap-token-{token_id}") is None,
        logs=world.tail,
    )
    until(
        "the word that it is",
        lambda: world.admin.get(f"{MACHINES}/e1")["status"]["enrolment"].get("spent"),
        logs=world.tail,
    )
    assert world.admin.get(f"{MACHINES}/e1")["status"]["enrolment"]["tokenID"] == token_id
    until("401", lambda: Client(world.plane, token=token["token"]).call("GET", f"{CSRS}/e1-first")[0] == 401)


def test_an_enrolled_agent_brings_its_machine_to_running(world: World) -> None:
    """With its own certificate, which reads its own Machine only; its kubelet has credentials of its own."""
    machine = world.machine("s1")
    let_read(world.admin, machine)
    asked = good(world, machine, "s1-first")
    world.ask(world.bearer(world.token(machine)), asked)
    world.certificate(asked)
    config = json.loads(world.plane.admin_kubeconfig.read_text())
    config["users"][0]["user"] = {
        "client-certificate-data": world.admin.get(f"{CSRS}/s1-first")["status"]["certificate"],
        "client-key-data": base64.b64encode(pem(asked.key)).decode(),
    }
    path = world.folder / "agent.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    kubelet = world.plane.kubeconfig("system:node:node-s1", ("system:nodes",))
    log = world.folder / "agent.log"
    with log.open("wb") as out:
        agent = subprocess.Popen(
            [KUBENODE, "sim", "agent", "s1", "--kubeconfig", path, "--kubelet-kubeconfig", kubelet],
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(
            "Running", lambda: world.admin.get(f"{MACHINES}/s1").get("status", {}).get("phase") == "Running",
            patience=90, logs=lambda: log.read_text()[-3000:] + world.tail(),
        )  # fmt: skip
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=60) == 0, log.read_text()[-3000:]
    assert "error=" not in log.read_text(), log.read_text()


# What is refused.


@pytest.fixture(scope="module")
def refused(world: World) -> tuple[Any, BootstrapToken]:
    """A Machine and a token that nothing is ever approved from."""
    machine = world.machine("r1")
    return machine, world.token(machine)


def extension(kind: str) -> x509.ExtensionType:
    """Give an extension that somebody may want in a certificate."""
    match kind:
        case "host":
            return x509.SubjectAlternativeName([x509.DNSName("kubernetes.default.svc")])
        case "address":
            return x509.SubjectAlternativeName([x509.IPAddress(ip_address("10.0.0.1"))])
        case "mail":
            return x509.SubjectAlternativeName([x509.RFC822Name("root@example.org")])
        case _:
            return x509.BasicConstraints(ca=True, path_length=None)


WRONG: dict[str, tuple[Callable[[str], dict[str, Any]], str]] = {
    "an-extra-group": (lambda uid: {"groups": (*groups_of(uid), "admins")}, "SubjectWrong"),
    "no-uid": (lambda uid: {"groups": ("kubenode:agents",)}, "SubjectWrong"),
    "another-uid": (lambda uid: {"groups": groups_of(uid[:-1] + "z")}, "OtherIncarnation"),
    "a-node": (lambda uid: {"groups": (*groups_of(uid), "system:nodes")}, "SubjectWrong"),
    "a-unit": (
        lambda uid: {"more": [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x")]}, "SubjectWrong",
    ),
    "two-names": (lambda uid: {"more": [x509.NameAttribute(NameOID.COMMON_NAME, "admin")]}, "SubjectWrong"),
    **{kind: (lambda uid, kind=kind: {"extensions": [extension(kind)]}, "ExtensionsWanted")
       for kind in ("host", "address", "mail", "authority")},
    "a-weak-key": (lambda uid: {"key": rsa.generate_private_key(65537, 1024)}, "KeyWrong"),  # noqa: S505
    "forged-user": (
        lambda uid: {"user": user_of("r2"), "said": {"username": user_of("r2"), "groups": list(groups_of(uid))}},
        "MachineMissing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_wants_more_is_denied_and_never_signed(
    world: World, refused: tuple[Any, BootstrapToken], what: str
) -> None:
    """Judged by what is stored: no certificate, no approval, and the reason that is true."""
    machine, token = refused
    more, reason = WRONG[what]
    asked = attrs.evolve(good(world, machine, what), **more(machine["metadata"]["uid"]))
    world.ask(world.bearer(token), asked)
    assert world.answer(what) == {"Denied": reason}
    stored = world.admin.get(f"{CSRS}/{what}")
    assert "certificate" not in stored["status"]
    assert stored["spec"]["username"] == f"system:bootstrap:{token.id}"
    assert "enrolment" not in world.admin.get(f"{MACHINES}/r1").get("status", {})


UNSTORED: dict[str, dict[str, Any]] = {
    "masters": {"groups": ("system:masters",)},
    "a-kubelet": {
        "user": "system:node:n1", "groups": ("system:nodes",), "signer": "kubernetes.io/kube-apiserver-client-kubelet",
    },
    "a-server": {"signer": "kubernetes.io/kubelet-serving"},
    "server-auth": {"usages": ("client auth", "server auth")},
    "any-usage": {"usages": ("client auth", "any")},
    "too-short": {"seconds": 599},
    "too-long": {"seconds": 604_801},
    "for-ever": {"seconds": None},
}  # fmt: skip


@pytest.mark.parametrize("what", UNSTORED)
def test_a_request_that_is_never_approved_is_not_even_stored(
    world: World, refused: tuple[Any, BootstrapToken], what: str
) -> None:
    """By the admission policy, or by the server itself; so nobody else can approve it by mistake."""
    machine, token = refused
    asked = attrs.evolve(good(world, machine, f"unstored-{what}"), **UNSTORED[what])
    status, answer = world.bearer(token).call("POST", CSRS, asked.body())
    assert status in (403, 422), answer
    assert world.admin.get(f"{CSRS}/unstored-{what}") is None


def test_a_request_for_another_identity_is_left_alone(
    world: World, refused: tuple[Any, BootstrapToken]
) -> None:
    """It is neither approved nor denied: whoever may, decides. A later one of ours is answered, so it was seen."""
    machine, token = refused
    for name, user in (
        ("alien-admin", "admin"),
        ("alien-node", "system:node:n1"),
        ("alien-agents", "kubenode:agent:"),
    ):
        asked = attrs.evolve(good(world, machine, name), user=user, groups=("admins",))
        world.ask(world.bearer(token), asked)
    world.ask(world.bearer(token), attrs.evolve(good(world, machine, "marker"), groups=("x",)))
    world.answer("marker")
    for name in ("alien-admin", "alien-node", "alien-agents"):
        assert world.admin.get(f"{CSRS}/{name}")["status"] == {}


def test_the_token_of_one_machine_is_nothing_to_another(world: World) -> None:
    """A foreign name; and a person who asks by hand."""
    machine, other = world.machine("f1"), world.machine("f2")
    token = world.token(machine)
    world.ask(world.bearer(token), good(world, other, "f1-as-f2"))
    world.ask(world.admin, good(world, other, "admin-as-f2"))
    assert world.answer("f1-as-f2") == {"Denied": "RequesterUnknown"}
    assert world.answer("admin-as-f2") == {"Denied": "RequesterUnknown"}


def test_an_expired_token_is_nobody(world: World) -> None:
    """The server does not know it, and stores nothing."""
    machine = world.machine("x1")
    token = world.token(machine, timedelta(seconds=-1))
    status, _ = world.bearer(token).call("POST", CSRS, good(world, machine, "x1-late").body())
    assert status == 401
    assert world.admin.get(f"{CSRS}/x1-late") is None


# Tokens that come twice, certificates that go on, Machines that are made anew.


def test_two_keys_that_race_for_one_token_get_one_certificate(world: World) -> None:
    """Both requests are there before anybody looks; after a crash and a restart it is still the first."""
    machine = world.machine("t1")
    token = world.token(machine)
    world.kill()
    first, thief, again = (good(world, machine, name) for name in ("t1-first", "t1-thief", "t1-again"))
    for asked in (first, thief, attrs.evolve(again, key=first.key)):
        world.ask(world.bearer(token), asked)
        if asked is first:
            time.sleep(1.1)  # the server's stamps are whole seconds
    world.start()
    assert world.answer("t1-first") == {"Approved": "Enrolled"}
    assert world.answer("t1-thief") == world.answer("t1-again") == {"Denied": "TokenUsed"}
    world.certificate(first)
    assert all(
        "certificate" not in world.admin.get(f"{CSRS}/{name}")["status"] for name in ("t1-thief", "t1-again")
    )


def test_an_agent_renews_its_own_certificate_and_no_other(world: World) -> None:
    """With a new key; another agent's request for the same name is refused."""
    machine, other = world.machine("n1"), world.machine("n2")
    agents = []
    for one in (machine, other):
        asked = good(world, one, f"{one['metadata']['name']}-first")
        world.ask(world.bearer(world.token(one)), asked)
        agents.append(world.certificate(asked))
    renewal = good(world, machine, "n1-renewal")
    world.ask(agents[0], renewal)
    assert world.answer("n1-renewal") == {"Approved": "Renewed"}
    world.certificate(renewal)
    world.ask(agents[1], good(world, machine, "n2-as-n1"))
    assert world.answer("n2-as-n1") == {"Denied": "RequesterUnknown"}


def test_what_an_earlier_machine_had_is_nothing_to_the_one_that_is_made_anew(world: World) -> None:
    """Its certificate reads nothing, writes nothing and renews nothing; its token and role go with it."""
    machine = world.machine("d1")
    asked = good(world, machine, "d1-first")
    world.ask(world.bearer(world.token(machine)), asked)
    agent = world.certificate(asked)
    let_read(world.admin, machine)
    until("its right to read", lambda: agent.call("GET", f"{MACHINES}/d1")[0] == 200)
    spare = world.token(machine)
    assert world.admin.call("DELETE", f"{MACHINES}/d1")[0] == 200
    until("its end", lambda: world.admin.get(f"{MACHINES}/d1") is None, logs=world.tail)
    world.ask(agent, good(world, machine, "d1-gone"))
    assert world.answer("d1-gone") == {"Denied": "MachineMissing"}
    until("the end of its token", lambda: world.admin.get(f"{SECRETS}/bootstrap-token-{spare.id}") is None)
    until(
        "the end of its role",
        lambda: world.admin.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{user_of('d1')}") is None,
    )
    anew = world.machine("d1")
    world.admin.call(
        "POST", SECRETS, {**secret_of(spare, anew), "metadata": {"name": f"bootstrap-token-{spare.id}"}}
    )
    let_read(world.admin, anew)
    world.ask(agent, good(world, anew, "d1-renewal"))
    world.ask(world.bearer(spare), good(world, anew, "d1-token"))
    assert world.answer("d1-renewal") == world.answer("d1-token") == {"Denied": "RequesterUnknown"}
    before = world.admin.get(f"{MACHINES}/d1")
    assert agent.call("GET", f"{MACHINES}/d1")[0] == 403
    agent.call("PATCH", f"{MACHINES}/d1/status", {"status": {"agent": {"version": "stolen"}}}, MERGE)
    after = world.admin.get(f"{MACHINES}/d1")
    assert "agent" not in after.get("status", {})
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_no_secret_is_told(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the token nor the agent's key is in a log, an object, an Event or a recording; the recording is decided alike.

    The Secret has a finalizer, so that the server answers its deletion with all that is in it.
    """
    world.stop()
    machine = world.machine("p1")
    token = new_token(machine, datetime.now(UTC) + timedelta(hours=1))
    planted = secret_of(token, machine)
    planted["metadata"]["finalizers"] = ["example.org/keep"]
    assert world.admin.call("POST", SECRETS, planted)[0] == 201
    asked = good(world, machine, "p1-first")
    world.ask(world.bearer(token), asked)
    world.ask(world.bearer(token), attrs.evolve(good(world, machine, "p1-wrong"), groups=("admins",)))
    file = tmp_path / "enrolment.knrec"

    def is_spent() -> bool:
        return bool(world.admin.get(f"{MACHINES}/p1").get("status", {}).get("enrolment", {}).get("spent"))

    async def run() -> None:
        store = KubeStore.connect(kubeconfig=world.plane.kubeconfig(CONTROLLER_USER))
        store._streams = False  # as on a server without streams, which needs another right
        with Recorder(file) as recorder:
            await until_spent(store, recorder)

    async def until_spent(store: KubeStore, recorder: Recorder) -> None:
        async with (
            store,
            Engine(
                store, plugins=Plugins.discover(), controllers=(*NAMES, ENROL), sinks={"file": recorder}
            ) as engine,
        ):
            while not is_spent():
                await asyncio.sleep(0.1)
            await engine.settled()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    world.start()
    assert world.answer("p1-first") == {"Approved": "Enrolled"}
    path = f"{SECRETS}/bootstrap-token-{token.id}"
    assert world.admin.get(path)["metadata"]["deletionTimestamp"]
    world.admin.call("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    objects = world.plane.kubectl(
        "get", "machines,events,csr,leases,configmaps,clusterroles", "-A", "-o", "json"
    )
    texts = {
        "recording": file.read_text(),
        "log": caplog.text,
        "objects": objects,
        "process": world.log.read_text(),
    }
    for where, text in texts.items():
        assert token.id in text or where == "process", where
        for secret in (
            token.secret,
            base64.b64encode(token.secret.encode()).decode(),
            pem(asked.key).decode().splitlines()[1],
        ):
            assert secret not in text, where
    found = replay(file)
    assert found.changes == ()
    assert {one.controller for one in found.recording.records} >= {"enrol", "machine"}


def test_the_controller_answered_nothing_else_and_deleted_tokens_only(world: World) -> None:
    """From the audit log: it used each right that enrolment takes, none that it has not, and was refused nothing."""
    entries = [json.loads(line) for line in world.plane.audit_log.read_text().splitlines()]
    ours = [
        one
        for one in entries
        if one["user"].get("username") == CONTROLLER_USER and one["stage"] != "RequestReceived"
    ]
    answered = {
        one["objectRef"]["name"] for one in ours if one.get("objectRef", {}).get("subresource") == "approval"
    }
    assert not {name for name in answered if name.startswith("alien")}
    assert len(answered) > 5
    secrets = [one for one in ours if one.get("objectRef", {}).get("resource") == "secrets"]
    assert {one["verb"] for one in secrets} == {"delete"}
    assert all(one["objectRef"]["name"].startswith("bootstrap-token-") for one in secrets)
    assert [(one["verb"], one["requestURI"]) for one in ours if one["responseStatus"]["code"] == 403] == []
    granted = {*rights((*NAMES, ENROL)), *lease_rights(CONTROLLER), lease_events()}
    needs = {one for one in rights((ENROL,)) if one not in rights()}
    # To approve for a signer is asked within an approval; that it is needed, `test_access.py` shows.
    assert needs - {one for one in needs if one.verb == "approve"} <= used(ours, CONTROLLER_USER) <= granted
