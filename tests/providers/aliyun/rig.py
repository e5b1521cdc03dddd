"""The real SDK in front of the fake: one server for all tests, an access key for every cloud."""

import functools
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import attrs

from kubenode.providers import CreateRequest
from kubenode.providers.aliyun import AliyunParams, AliyunProvider, AliyunSettings, Client, Credentials, Disk
from kubenode.providers.pace import Pace
from kubenode.runtime.testing.authority import Authority
from tests.providers.aliyun.cloud import FakeEcs
from tests.providers.aliyun.server import Account, Handle, Server

REGION = "cn-hangzhou"
PARAMS = AliyunParams(
    zone="cn-hangzhou-h", vswitch="vsw-1", instance_type="ecs.g7.xlarge", image="m-1", security_groups=("sg-1", "sg-2"),
    system_disk=Disk(size=40),
)  # fmt: skip
KEYS = itertools.count()
CLIENTS: list[Client] = []


@functools.cache
def server() -> tuple[Server, Path]:
    """Start the server; give it, and the file of the authority that it is trusted by."""
    folder = Path(tempfile.mkdtemp())
    authority = Authority.create()
    ca, _ = authority.identity.write(folder, "ca")
    made = Server(authority.server().write(folder, "server"))
    Thread(target=made.serve_forever, daemon=True, name="fake-ecs").start()
    return made, ca


@attrs.frozen
class Rig:
    """A provider, its cloud, and what the wire heard."""

    provider: AliyunProvider
    cloud: FakeEcs
    account: Account
    credentials: Credentials

    def calls(self, act: Callable[[], Any]) -> list[str]:
        """Act, and give the calls that were made; errors are let through."""
        before = len(self.account.heard)
        act()
        return [heard.params["Action"] for heard in self.account.heard[before:]]


def rig(
    cloud: FakeEcs | None = None, *, wrap: Callable[[Handle], Handle] = lambda handle: handle, token: str = "",
    pace: Pace | None = None, **settings: Any,
) -> Rig:  # fmt: skip
    """Give a new provider before a new account."""
    made, ca = server()
    cloud = cloud or FakeEcs()
    credentials = Credentials(key_id=f"LTAI{next(KEYS):06}", secret="s3cr+t/é=", token=token)
    account = Account(secret=credentials.secret, handle=wrap(cloud), token=token)
    made.accounts[credentials.key_id] = account
    written = {
        "region": REGION,
        "endpoint": made.endpoint,
        "ca_file": str(ca),
        "calls_per_second": 1e6,
        **settings,
    }
    client = Client(AliyunSettings(**written), lambda: credentials, pace)
    CLIENTS.append(client)
    return Rig(AliyunProvider(client), cloud, account, credentials)


def request(
    key: str = "t-1", *, params: AliyunParams = PARAMS, data: bytes = b"", **tags: str
) -> CreateRequest[AliyunParams]:
    """Give a create request."""
    return CreateRequest(
        token=key, machine="web-1", params=params, tags={"owner": "u1", **tags}, user_data=data
    )
