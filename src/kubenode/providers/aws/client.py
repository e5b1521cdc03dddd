"""The one home of boto3: one wire call an operation, answers as mappings, errors as meanings, and no secret told."""

import base64
import ssl
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from kubenode.core.errors import Ambiguous, AuthFailed, Invalid, ProviderError, Throttled, Unavailable
from kubenode.providers.aws.codes import HINTS, meaning
from kubenode.providers.aws.params import AwsSettings
from kubenode.providers.pace import Pace

EC2 = "ec2"
QUOTAS = "service-quotas"
CONNECT_LIMIT = 3
READ_LIMIT = 20
"""In seconds. After the second the answer is lost, and what was asked for may be done."""
THREADS = 32
PAUSE = timedelta(seconds=2)
"""For how long nothing is sent after "too many"."""
STRANGER = ("CERTIFICATE_VERIFY_FAILED", "doesn't match")
"""How boto3 says that nobody trusts who answers, or that it is somebody else."""
UNTRUSTED = "the certificate of the endpoint is not trusted, nothing was sent; name its authorities in ca_bundle of [aws]"


class Ec2:
    """EC2 in one region, by the credentials of the standard chain."""

    def __init__(self, settings: AwsSettings, pace: Pace) -> None:
        self._settings = settings
        self._pace = pace
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._now = threading.local()

    def __repr__(self) -> str:
        return f"Ec2(region={self._settings.region!r})"

    @property
    def region(self) -> str:
        """The region that is called.

        Raises:
            Invalid: neither the settings nor the environment name one.
        """
        return str(self.client().meta.region_name)

    def client(self, service: str = EC2) -> Any:
        """Give the client of boto3 for a service, made once: clients are safe in threads, sessions are not.

        Raises:
            Invalid: no region, or no such region.
            AuthFailed: no such profile, or credentials that are not whole.
        """
        with self._lock:
            if service not in self._clients:
                made, error = self._made(service)
                if error is not None:
                    raise error
                self._clients[service] = made
            return self._clients[service]

    def call(
        self, operation: str, arguments: Mapping[str, Any], *,
        writes: bool = False, creates: bool = False, user_data: bytes = b"", service: str = EC2,
    ) -> Mapping[str, Any]:  # fmt: skip
        """Make one wire call.

        Args:
            operation: AWS's name of it, as `DescribeInstances`.
            arguments: as boto3 takes them.
            writes: whether it changes something; then a lost answer is Ambiguous.
            creates: whether it may make an instance; then whatever is not known is Ambiguous.
            user_data: goes into the body when it is signed, so that neither boto3's log nor its errors have it.
            service: whose operation it is, as boto3 names services.

        Raises:
            ProviderError: what the answer means, or that there was none.
        """
        from botocore import xform_name

        method = getattr(self.client(service), xform_name(operation))
        self._pace.go(writes=writes or creates)
        answer, error = self._asked(
            method, operation, arguments, writes=writes, creates=creates, user_data=user_data
        )
        # Raised out here, so that boto3's error is not its context: a traceback would show that too.
        if error is not None:
            if isinstance(error, Throttled):
                self._pace.refused(PAUSE)
            raise error
        return answer

    def _asked(
        self,
        method: Any,
        operation: str,
        arguments: Mapping[str, Any],
        *,
        writes: bool,
        creates: bool,
        user_data: bytes,
    ) -> tuple[Mapping[str, Any], ProviderError | None]:
        from botocore import exceptions

        lost = Ambiguous if writes or creates else Unavailable
        self._now.user_data = base64.b64encode(user_data).decode() if user_data else ""
        try:
            return method(**arguments), None
        except exceptions.ClientError as error:
            if error.operation_name != operation:
                return {}, _not_lent(operation, error.operation_name, error.response)
            return {}, _refused(operation, error.response, creates=creates)
        except (
            exceptions.EndpointConnectionError,
            exceptions.ConnectTimeoutError,
            exceptions.ProxyConnectionError,
        ) as error:
            return {}, Unavailable(
                f"{operation}: no connection ({type(error).__name__}), nothing was sent; look at region and endpoint_url of [aws], and at the network"
            )
        except _no_credentials() as error:
            return {}, AuthFailed(
                f"{operation}: no credentials ({type(error).__name__}); {HINTS[AuthFailed]}"
            )
        except exceptions.ParamValidationError:
            return {}, Invalid(
                f"{operation}: boto3 refuses the parameters; nothing was sent; {HINTS[Invalid]}"
            )
        except Exception as error:
            if isinstance(error, exceptions.SSLError) and any(mark in str(error) for mark in STRANGER):
                return {}, Unavailable(f"{operation}: {UNTRUSTED}")
            # Its text may hold what was sent.
            return {}, lost(f"{operation}: no answer that can be read ({type(error).__name__})")
        finally:
            self._now.user_data = ""

    def _made(self, service: str) -> tuple[Any, ProviderError | None]:
        try:
            import boto3
            from botocore import exceptions
            from botocore.config import Config
        except ImportError as missing:
            return None, Invalid(f"AWS needs the package {missing.name}: pip install 'kubenode[aws]'")
        settings = self._settings
        try:
            ssl.create_default_context(cafile=settings.ca_bundle or None)
        except OSError:
            return None, Invalid(
                f"ca_bundle {settings.ca_bundle} of [aws] cannot be read; name a PEM file of authorities"
            )
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=CONNECT_LIMIT, read_timeout=READ_LIMIT,
            max_pool_connections=THREADS, ignore_configured_endpoint_urls=True,
        )  # fmt: skip
        try:
            session = boto3.session.Session(
                profile_name=settings.profile or None, region_name=settings.region or None
            )
            client = session.client(
                service, config=config, endpoint_url=_endpoint(settings, service), use_ssl=True,
                verify=settings.ca_bundle or None,
            )  # fmt: skip
        except (exceptions.NoRegionError, exceptions.InvalidRegionError, ValueError):
            return None, Invalid(
                'no region, or none that can be; write region = "..." under [aws] of kubenode.toml'
            )
        except exceptions.BotoCoreError as error:
            return None, AuthFailed(f"no session ({type(error).__name__}); {HINTS[AuthFailed]}")
        client.meta.events.register("before-sign.ec2.RunInstances", self._add_user_data)
        return client, None

    def _add_user_data(self, request: Any, **_: Any) -> None:
        if self._now.user_data:
            # Another mapping: a record of boto3's log holds the old one, and may be written later.
            request.data = {**request.data, "UserData": self._now.user_data}


def _endpoint(settings: AwsSettings, service: str) -> str | None:
    return (settings.endpoint_url if service == EC2 else settings.quotas_endpoint_url) or None


def _no_credentials() -> tuple[type[Exception], ...]:
    from botocore import exceptions

    return (
        exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError,
        exceptions.TokenRetrievalError, exceptions.SSOError, exceptions.InvalidConfigError,
    )  # fmt: skip


def _not_lent(operation: str, by: str, answer: Mapping[str, Any]) -> ProviderError:
    """Give the error for credentials that were asked for on the way, and refused: the call itself was not made."""
    about = answer.get("ResponseMetadata", {})
    word, status = str(answer.get("Error", {}).get("Code", ""))[:80], int(about.get("HTTPStatusCode", 0))
    if status >= 500 or meaning(word, status, creates=False) is Throttled:
        return Unavailable(f"{operation}: {by} gave no credentials ({word}), nothing was sent")
    return AuthFailed(
        f"{operation}: {by} gave no credentials ({word}); {HINTS[AuthFailed]}, and at the trust of its role"
    )


def _refused(operation: str, answer: Mapping[str, Any], *, creates: bool) -> ProviderError:
    word = str(answer.get("Error", {}).get("Code", ""))
    about = answer.get("ResponseMetadata", {})
    kind = meaning(word, int(about.get("HTTPStatusCode", 0)), creates=creates)
    # AWS's own text stays out: it may repeat what was sent.
    text = f"{operation}: {word[:80]}, request {str(about.get('RequestId', 'unknown'))[:64]}"
    retry_after = PAUSE if kind is Throttled else None
    return kind(f"{text}; {HINTS[kind]}" if kind in HINTS else text, retry_after=retry_after)
