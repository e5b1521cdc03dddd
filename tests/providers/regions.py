"""A region of each cloud on the loopback, with the real SDK in front of it, and one face for who plays on it.

What goes on in a cloud while nobody calls is told by `tick`: what was asked for comes up, what is to end ends.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, Final, Protocol

import attrs

from kubenode.core.hookspecs import Provider
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.providers.aliyun import AliyunProvider, AliyunSettings, Client, Credentials
from kubenode.providers.aws import AwsProvider, AwsSettings
from kubenode.runtime.testing.authority import Authority
from tests.providers.aliyun.cloud import FakeEcs
from tests.providers.aliyun.server import Account, Answer, Params, refused
from tests.providers.aliyun.server import Server as EcsServer
from tests.providers.aws.fake import FakeEc2, Refuse, members
from tests.providers.aws.loopback import serving

EC2: Final = "eu-west-1"
ECS: Final = "cn-hangzhou"
SECRET: Final = "s3cr+t/é="


@attrs.frozen(kw_only=True)
class Shown:
    """An instance that exists, as its host knows itself: what it is called, whose it is, whether it runs."""

    id: str
    machine: str
    uid: str
    provider_id: str
    zone: str
    runs: bool


@attrs.define
class Hands:
    """What a person or a fault does in a cloud; ids are the cloud's own.

    Attributes:
        stuck_next: how many of the next that are made never come up.
        stuck: those that do not.
        hold_next: of how many of the next whose end is granted it does not come.
        held: those of which it does not.
        refuses: calls that are refused, by name of the cloud's API: the status and the code.
        restarted: those that the cloud has restarted, and when, by the clock of this machine.
    """

    stuck_next: int = 0
    stuck: set[str] = attrs.field(factory=set)
    hold_next: int = 0
    held: set[str] = attrs.field(factory=set)
    refuses: dict[str, tuple[int, str]] = attrs.field(factory=dict)
    restarted: list[tuple[str, float]] = attrs.field(factory=list)

    def restart(self, own: str) -> None:
        """Note that one is restarted by the cloud; who plays its host sees to the rest."""
        self.restarted.append((own, time.time()))

    def born(self, own: str) -> None:
        """Decide what becomes of one that was just made."""
        if self.stuck_next:
            self.stuck_next -= 1
            self.stuck.add(own)

    def ending(self, own: str) -> None:
        """Decide what becomes of one whose end was just granted."""
        if self.hold_next:
            self.hold_next -= 1
            self.held.add(own)


class Region(Protocol):
    """One region of one account.

    Attributes:
        words: the names of its calls in its API, by ours: create, delete, look.
        codes: how it refuses, by why: quota, image, credentials, rights, missing.
    """

    provider: Provider[Any]
    hands: Hands
    parameters: Mapping[str, Any]
    zones: tuple[str, ...]
    words: Mapping[str, str]
    codes: Mapping[str, tuple[int, str]]

    def tick(self) -> None:
        """Let a moment pass."""

    def there(self) -> dict[str, Shown]:
        """Give what there is, by kubenode's id; also what is on its way out."""

    def made(self) -> int:
        """Count what was ever made."""

    def end(self, instance_id: str) -> None:
        """Terminate one in the console."""

    def tag(self, instance_id: str, key: str, value: str | None) -> None:
        """Set a tag in the console; None takes it away."""

    def rename(self, instance_id: str, name: str) -> None:
        """Give it another name in the console."""

    def again(self) -> Provider[Any]:
        """Give a provider as another process has it."""

    def heard(self) -> list[Params]:
        """Give all calls that came, in order, as they came."""


def calls(region: Region) -> Counter[str]:
    """Count the calls that came to a region: create, delete, and of looks those at all (find) and at one (get)."""
    found = Counter[str]()
    names = {word: name for name, word in region.words.items()}
    for params in region.heard():
        name = names.get(params["Action"], "events")  # the host doctor polls too
        by_id = "InstanceIds" in params or "InstanceId.1" in params
        found[("get" if by_id else "find") if name == "look" else name] += 1
    return found


class Ec2(FakeEc2):
    """An EC2 in which what is made is pending, and what is terminated is shutting down, for a while."""

    def __init__(self) -> None:
        super().__init__(word="pending", late=1)
        self.hands = Hands()

    def answer(self, body: str) -> tuple[int, bytes]:
        """Refuse what is to be refused."""
        refuses = self.hands.refuses.items()
        self.refusals = {action: [Refuse(code, status)] for action, (status, code) in refuses}
        return super().answer(body)

    def _run_instances(self, params: dict[str, str]) -> dict[str, Any]:
        before = len(self.rows)
        answer = super()._run_instances(params)
        if len(self.rows) > before:
            self.hands.born(answer["Instances"][0]["InstanceId"])
        return answer

    def _terminate_instances(self, params: dict[str, str]) -> dict[str, Any]:
        (one,) = members(params, "InstanceId")
        dead = one in self.rows and self.rows[one]["State"]["Name"] == "terminated"
        answer = self._turn(params)
        self.rows[one]["State"] = {"Name": "terminated" if dead else "shutting-down"}
        if not dead:
            self.hands.ending(one)
        return answer

    def _reboot_instances(self, params: dict[str, str]) -> dict[str, Any]:
        answer = super()._reboot_instances(params)
        for one in members(params, "InstanceId"):
            self.hands.restart(one)
            for event in self.events.get(one, ()):
                event["Description"] = f"[Completed] {event['Description']}"
        return answer

    def tick(self) -> None:
        """Let a moment pass."""
        with self._lock:
            for one, row in self.rows.items():
                word = row["State"]["Name"]
                if word == "pending" and one not in self.hands.stuck:
                    row["State"] = {"Name": "running"}
                if word == "shutting-down" and one not in self.hands.held:
                    row["State"] = {"Name": "terminated"}


class Ec2Region:
    """A region of EC2 on a socket."""

    parameters: Mapping[str, Any] = {"instance_type": "m7i.large", "image": "ami-0123456789abcdef0"}
    zones = (f"{EC2}a", f"{EC2}b")
    words: Mapping[str, str] = {
        "create": "RunInstances",
        "delete": "TerminateInstances",
        "look": "DescribeInstances",
    }
    codes: Mapping[str, tuple[int, str]] = {
        "quota": (400, "VcpuLimitExceeded"), "image": (400, "InvalidAMIID.NotFound"), "credentials": (401, "AuthFailure"),
        "rights": (403, "UnauthorizedOperation"), "missing": (400, "InvalidInstanceID.NotFound"),
    }  # fmt: skip

    def __init__(self, fake: Ec2, settings: AwsSettings) -> None:
        self.fake = fake
        self.hands = fake.hands
        self.endpoint = settings.endpoint_url
        self._settings = settings
        self.provider: Provider[Any] = AwsProvider(settings)

    def tick(self) -> None:
        """Let a moment pass."""
        self.fake.tick()

    def there(self) -> dict[str, Shown]:
        """Give what there is."""
        with self.fake._lock:
            rows = [row for row in self.fake.rows.values() if row["State"]["Name"] != "terminated"]
        return {row["InstanceId"]: self._shown(row) for row in rows}

    def _shown(self, row: Mapping[str, Any]) -> Shown:
        own, zone = row["InstanceId"], row["Placement"]["AvailabilityZone"]
        tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
        return Shown(
            id=own, machine=tags.get(MACHINE_TAG, ""), uid=tags.get(MACHINE_UID_TAG, ""), provider_id=f"aws:///{zone}/{own}", zone=zone,
            runs=row["State"]["Name"] == "running",
        )  # fmt: skip

    def made(self) -> int:
        """Count what was ever made."""
        return len(self.fake.rows)

    def end(self, instance_id: str) -> None:
        """Terminate one in the console."""
        self.fake.rows[instance_id]["State"] = {"Name": "terminated"}

    def tag(self, instance_id: str, key: str, value: str | None) -> None:
        """Set a tag in the console."""
        row = self.fake.rows[instance_id]
        row["Tags"] = [tag for tag in row["Tags"] if tag["Key"] != key]
        row["Tags"] += [{"Key": key, "Value": value}] if value is not None else []

    def rename(self, instance_id: str, name: str) -> None:
        """Give it another name in the console."""
        self.tag(instance_id, "Name", name)

    def again(self) -> Provider[Any]:
        """Give a provider as another process has it."""
        return AwsProvider(self._settings)

    def heard(self) -> list[Params]:
        """Give all calls that came."""
        return list(self.fake.bodies)


class Ecs(FakeEcs):
    """An ECS in which what is made is Pending for a while, and can be deleted only after that."""

    def __init__(self) -> None:
        super().__init__(status="Pending", late=1)
        self.hands = Hands()
        self.leaving: set[str] = set()

    def __call__(self, params: Params) -> Answer:
        """Refuse what is to be refused."""
        refusal = self.hands.refuses.get(params["Action"])
        return refused(*refusal) if refusal is not None else super().__call__(params)

    def _RunInstances(self, params: Params) -> Answer:  # noqa: N802
        status, body = super()._RunInstances(params)
        self.hands.born(body["InstanceIdSets"]["InstanceIdSet"][0])
        return status, body

    def _DeleteInstance(self, params: Params) -> Answer:  # noqa: N802
        row = self.instances.get(params["InstanceId"])
        status, body = super()._DeleteInstance(params)
        if status == 200 and row is not None:
            self.hands.ending(params["InstanceId"])
            if params["InstanceId"] in self.hands.held:
                self.instances[params["InstanceId"]] = row
                self.leaving.add(params["InstanceId"])
        return status, body

    def _RebootInstance(self, params: Params) -> Answer:  # noqa: N802
        self.hands.restart(params["InstanceId"])
        return super()._RebootInstance(params)

    def _AcceptInquiredSystemEvent(self, params: Params) -> Answer:  # noqa: N802
        status, body = super()._AcceptInquiredSystemEvent(params)
        if status == 200:
            self.hands.restart(self.events[params["EventId"]]["InstanceId"])
        return status, body

    def tick(self) -> None:
        """Let a moment pass."""
        with self._lock:
            for own, row in list(self.instances.items()):
                if row["Status"] == "Pending" and own not in self.hands.stuck:
                    row["Status"] = "Running"
                if own in self.leaving - self.hands.held:
                    del self.instances[own]


class EcsRegion:
    """A region of ECS on a socket, which checks signatures."""

    parameters: Mapping[str, Any] = {
        "vswitch": "vsw-1", "instance_type": "ecs.g7.xlarge", "image": "m-1", "security_groups": ["sg-1"],
    }  # fmt: skip
    zones = (f"{ECS}-h", f"{ECS}-i")
    words: Mapping[str, str] = {
        "create": "RunInstances",
        "delete": "DeleteInstance",
        "look": "DescribeInstances",
    }
    codes: Mapping[str, tuple[int, str]] = {
        "quota": (403, "QuotaExceed.ElasticQuota"), "image": (404, "InvalidImageId.NotFound"),
        "credentials": (404, "InvalidAccessKeyId.NotFound"), "rights": (403, "Forbidden.RAM"),
        "missing": (404, "InvalidInstanceId.NotFound"),
    }  # fmt: skip

    def __init__(self, fake: Ecs, account: Account, client: Client, endpoint: str) -> None:
        self.endpoint = endpoint
        self.fake = fake
        self.hands = fake.hands
        self.provider: Provider[Any] = AliyunProvider(client)
        self._account = account
        self._client = client

    def tick(self) -> None:
        """Let a moment pass."""
        self.fake.tick()

    def there(self) -> dict[str, Shown]:
        """Give what there is."""
        with self.fake._lock:
            rows = list(self.fake.instances.values())
        return {f"{ECS}.{row['InstanceId']}": self._shown(row) for row in rows}

    def _shown(self, row: Mapping[str, Any]) -> Shown:
        name = f"{ECS}.{row['InstanceId']}"
        tags = {tag["TagKey"]: tag["TagValue"] for tag in row["Tags"]["Tag"]}
        return Shown(
            id=name, machine=tags.get(MACHINE_TAG, ""), uid=tags.get(MACHINE_UID_TAG, ""), provider_id=name, zone=row["ZoneId"],
            runs=row["Status"] == "Running" and row["InstanceId"] not in self.fake.leaving,
        )  # fmt: skip

    def made(self) -> int:
        """Count what was ever made."""
        return self.fake.made

    def end(self, instance_id: str) -> None:
        """Release one in the console."""
        with self.fake._lock:
            del self.fake.instances[instance_id.partition(".")[2]]

    def tag(self, instance_id: str, key: str, value: str | None) -> None:
        """Set a tag in the console."""
        row = self.fake.instances[instance_id.partition(".")[2]]
        tags = [tag for tag in row["Tags"]["Tag"] if tag["TagKey"] != key]
        tags += [{"TagKey": key, "TagValue": value}] if value is not None else []
        row["Tags"] = {"Tag": tags}

    def rename(self, instance_id: str, name: str) -> None:
        """Give it another name in the console."""
        self.fake.instances[instance_id.partition(".")[2]]["InstanceName"] = name

    def again(self) -> Provider[Any]:
        """Give a provider as another process has it."""
        return AliyunProvider(self._client)

    def heard(self) -> list[Params]:
        """Give all calls that came."""
        return [heard.params for heard in self._account.heard]


@contextlib.contextmanager
def ec2() -> Iterator[Ec2Region]:
    """Serve EC2; who calls it has its credentials in the environment."""
    fake = Ec2()
    with serving(fake) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        yield Ec2Region(fake, AwsSettings(region=EC2, endpoint_url=url, quotas_endpoint_url=url))


@contextlib.contextmanager
def ecs(folder: Path, chain: Callable[[], Credentials] | None = None) -> Iterator[EcsRegion]:
    """Serve ECS; `chain` stands in for the credentials that are right."""
    authority, fake = Authority.create(), Ecs()
    ca, _ = authority.identity.write(folder, "ca")
    server = EcsServer(authority.server().write(folder, "server"))
    right = Credentials(key_id="LTAIregion", secret=SECRET)
    account = server.accounts[right.key_id] = Account(secret=SECRET, handle=fake)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="ecs")
    thread.start()
    client = Client(
        AliyunSettings(region=ECS, endpoint=server.endpoint, ca_file=str(ca)), chain or (lambda: right)
    )
    try:
        yield EcsRegion(fake, account, client, server.endpoint)
    finally:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()
        assert server.errors == []
