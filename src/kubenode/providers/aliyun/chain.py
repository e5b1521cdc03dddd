"""The standard chain of Alibaba Cloud: which place says who we are, and for how long what it said is kept."""

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from kubenode.core.errors import AuthFailed, ProviderError
from kubenode.providers.aliyun import sts
from kubenode.providers.aliyun.credentials import (
    Credentials,
    InstanceRole,
    NotHere,
    OidcRole,
    Way,
    from_cli,
    from_environment,
    from_file,
    oidc_of,
)

EARLY: Final = timedelta(minutes=15)
"""Temporary credentials are replaced so long before they end: a call that waits must not be too late."""
AGAIN: Final = timedelta(minutes=1)
"""Credentials that hold still and could not be replaced are used for so long before it is tried again."""
Source: TypeAlias = Callable[[], Way]
FIX: Final = "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or use one of the other places of docs/reference/aliyun.md"


class StandardChain:
    """Says who we are; in threads too. The first place that has anything is the only one from then on.

    One that has something which cannot be used is an error, and the next is not asked: it may be another account, in which
    none of our instances are, and all of them would be taken for gone.
    """

    def __init__(
        self, *, profile: str = "", sts_endpoint: str = "", ca_file: str = "", metadata: str = sts.METADATA,
        environment: Mapping[str, str] | None = None, home: Path | None = None, now: Callable[[], datetime] | None = None,
    ) -> None:  # fmt: skip
        """Prepare; nothing is read before the first call.

        Args:
            profile: of the files; when given, only these are asked.
            sts_endpoint: name of the Security Token Service; empty for what the environment says.
            ca_file: PEM file of who is trusted for that; empty for the system's.
            metadata: name of the metadata service.
            environment: instead of that of the process.
            home: instead of the user's.
            now: the time, aware.
        """
        self._given = os.environ if environment is None else environment
        self._home = home
        self._profile = profile
        self._sts = sts_endpoint
        self._ca_file = ca_file
        self._metadata = metadata
        self._now = now or partial(datetime.now, UTC)
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._kept: Credentials | None = None
        self._again: datetime | None = None

    def __repr__(self) -> str:
        return "StandardChain()"

    def __call__(self) -> Credentials:
        """Give the credentials to use now.

        Raises:
            AuthFailed: no place has any, or what a place has cannot be used; with what was tried, and the fix.
            Unavailable: the service that makes them does not answer.
        """
        with self._lock:
            now = self._now()
            held = self._kept
            if held is not None and held.until is not None and now < held.until:
                if now < held.until - EARLY or (self._again is not None and now < self._again):
                    return held
            else:
                held = None
            self._again = now + AGAIN
            made = self._made()
            if isinstance(made, ProviderError):
                if held is None:
                    raise made
                return held
            self._kept = made
            return made

    def _made(self) -> Credentials | ProviderError:
        try:
            return self._asked()
        except ProviderError as error:
            return error

    def _asked(self) -> Credentials:
        if self._source is not None:
            found = self._tried(self._source)
            if isinstance(found, Credentials):
                return found
            raise AuthFailed(
                f"Alibaba Cloud: credentials that were there are not any more: {found}; fix: {FIX}"
            )
        tried = []
        for name, source in self._sources():
            found = self._tried(source)
            if isinstance(found, Credentials):
                self._source = source
                return found
            tried.append(f"{name}: {found}")
        raise AuthFailed(f"no credentials for Alibaba Cloud. Tried {', '.join(tried)}; fix: {FIX}")

    def _tried(self, source: Source) -> Credentials | str:
        """Give what a place has; a text where it has nothing."""
        try:
            way = source()
            if isinstance(way, OidcRole):
                return sts.of_token(way, self._endpoint(), self._ca_file)
            if isinstance(way, InstanceRole):
                return sts.of_instance(way, self._metadata)
        except NotHere as error:
            return str(error)
        return way

    def _sources(self) -> list[tuple[str, Source]]:
        """Give the places, in the order of the vendor's own library."""
        given, home = self._given, self._home or Path.home()
        files: list[tuple[str, Source]] = [
            ("the command line's profile", partial(from_cli, given, home, self._profile)),
            ("the credentials file", partial(from_file, given, home, self._profile)),
        ]
        if self._profile:
            return files
        return [
            ("the environment", partial(from_environment, given)), ("RRSA", partial(oidc_of, given)),
            *files, ("the role of the instance", self._role),
        ]  # fmt: skip

    def _role(self) -> InstanceRole:
        if self._given.get("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "").lower() == "true":
            raise NotHere("ALIBABA_CLOUD_ECS_METADATA_DISABLED keeps it out")
        return InstanceRole(name=self._given.get("ALIBABA_CLOUD_ECS_METADATA", ""))

    def _endpoint(self) -> str:
        """Give the name of the Security Token Service, as the vendor's tools find it."""
        if self._sts:
            return self._sts
        region = self._given.get("ALIBABA_CLOUD_STS_REGION")
        inside = self._given.get("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "").lower() == "true"
        return f"{'sts-vpc' if inside else 'sts'}.{region}.aliyuncs.com" if region else "sts.aliyuncs.com"
