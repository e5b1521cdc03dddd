"""A system disk is replaced under its instance's id, on both clouds, through the real SDKs: once for a token, and only in the right state."""

from typing import Any

import pytest

from kubenode.providers import Ambiguous, Busy, CreateRequest, NotFound, Power, SupportsReimage, TokenConflict
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings
from tests.providers.aliyun.rig import request, rig
from tests.providers.aws.fake import FakeEc2
from tests.providers.aws.loopback import SETTINGS, keys, serving


class Ecs:
    """ECS, whose instances have to be off for it."""

    def __init__(self) -> None:
        self.one = rig()
        self.provider: Any = self.one.provider
        self.made = self.provider.create(request()).id
        self.wrong, self.right = Power.ON, Power.OFF
        self.nobody = "cn-hangzhou.i-bp99999999"

    def lose(self) -> None:
        """Lose the next answer."""
        self.one.cloud.lose("ReplaceSystemDisk")

    def image(self) -> str | None:
        """Give the image that the disk is of."""
        image: str | None = self.one.cloud.instances[self.made.partition(".")[2]].get("ImageId")
        return image


class Ec2:
    """EC2, whose instances have to be on for it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        url = f"http://127.0.0.1:{server.server_port}"
        self.provider: Any = AwsProvider(
            AwsSettings(region="eu-west-1", endpoint_url=url, burst=SETTINGS.burst)
        )
        params = AwsParams(instance_type="m7i.large", image="ami-1")
        self.made = self.provider.create(CreateRequest(token="t", machine="m", params=params, tags={})).id
        self.wrong, self.right = Power.OFF, Power.ON
        self.nobody = "i-0123456789abcdef0"

    def lose(self) -> None:
        """Lose the next answer."""
        self.server.faults = ["reset"]

    def image(self) -> str | None:
        """Give the image that the disk is of."""
        image: str | None = self.server.fake.rows[self.made].get("ImageId")
        return image


@pytest.fixture(params=["ecs", "ec2"])
def cloud(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One instance in each."""
    if request.param == "ecs":
        yield Ecs()
        return
    keys(tmp_path, monkeypatch)
    with serving(FakeEc2()) as server:
        yield Ec2(server)


def test_a_disk_is_replaced_once_for_its_token(cloud: Ecs | Ec2) -> None:
    """In the wrong state of power it is Busy; a lost answer is Ambiguous, and its repeat no second disk; another image needs another token."""
    provider, made = cloud.provider, cloud.made
    assert isinstance(provider, SupportsReimage)
    provider.power(made, cloud.wrong, "wrong")
    with pytest.raises(Busy):
        provider.reimage(made, "image-2", "r")
    assert cloud.image() is None
    provider.power(made, cloud.right, "right")
    cloud.lose()
    with pytest.raises(Ambiguous):
        provider.reimage(made, "image-2", "r")
    provider.reimage(made, "image-2", "r")
    assert cloud.image() == "image-2"
    with pytest.raises(TokenConflict):
        provider.reimage(made, "image-3", "r")
    provider.reimage(made, "image-3", "r-2")
    assert cloud.image() == "image-3"


def test_nobodys_disk_is_not_replaced(cloud: Ecs | Ec2) -> None:
    """NotFound, and the others keep theirs."""
    with pytest.raises(NotFound):
        cloud.provider.reimage(cloud.nobody, "image-2", "r")
    assert cloud.image() is None
