"""What can go wrong, and who is to blame.

The type of an error is its meaning; its attributes hold the facts; its message says what to do.
Errors of the API server are in this file too, since both stores and every controller speak them.
"""

import enum
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import attrs

_REASON = re.compile("[A-Z][A-Za-z]{0,63}")


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong: where, what, and what to do.

    Attributes:
        where: a path such as `spec.rollout.batches[1]`, or the name of a plugin.
        what: the fault, in one clause.
        fix: what to write instead; empty when `what` says it.
        file: the file it was read from; empty when it came from elsewhere.
        line: the line in that file, from 1; 0 when unknown.
    """

    where: str
    what: str
    fix: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        )
        return f"{place}{self.where}: {self.what}" + (f"\n    fix: {self.fix}" if self.fix else "")


def refusal(problem: Problem) -> tuple[str, str]:
    """Split a Problem with a plan into its reason and a text for people.

    Returns:
        The reason that `what` begins with, as in `PluginMissing: no such driver`; PluginFailed when it
        begins with none. The text ends with the fix.

    >>> refusal(Problem(where="ladder[0]", what="PluginMissing: no action 'x'", fix="known: reboot"))
    ('PluginMissing', "ladder[0]: no action 'x'; known: reboot")
    """
    head, colon, tail = problem.what.partition(": ")
    known = bool(colon) and _REASON.fullmatch(head) is not None
    text = f"{problem.where}: {tail if known else problem.what}" + (f"; {problem.fix}" if problem.fix else "")
    return (head if known else "PluginFailed"), text[:2048]


class Retry(enum.Enum):
    """Whether the same call may be made again."""

    BACKOFF = "backoff"
    """Yes, after a growing pause."""
    READ_FIRST = "read-first"
    """The world has moved, or the answer was lost: look again, then decide anew."""
    NEVER = "never"
    """The same call fails the same way."""


class KubenodeError(Exception):
    """Root of everything kubenode raises on purpose."""

    retry: ClassVar[Retry] = Retry.NEVER


class InvalidObjectError(KubenodeError):
    """What you wrote is wrong; every problem at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class PluginError(KubenodeError):
    """A plugin is wrong; `problems` name each fault."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = len(problems)
        head = f"{count} plugin problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in problems)]))


class NotInstalled(KubenodeError):
    """A cluster lacks what this program needs, or has an older one; `problems` name each with its fix."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class ApiError(KubenodeError):
    """The API server refused, or could not be asked.

    Attributes:
        status: the server's Status object as it came; empty when there was no answer.
        retry_after: what the server asked for, or None.
    """

    retry = Retry.NEVER

    def __init__(
        self, message: str, *, status: Mapping[str, Any] | None = None, retry_after: timedelta | None = None
    ) -> None:
        self.status: Mapping[str, Any] = status or {}
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def code(self) -> int:
        """The HTTP status code; 0 when there was no answer."""
        return int(self.status.get("code", 0))


class ObjectNotFound(ApiError):
    """404: no such object, or not this uid."""

    retry = Retry.READ_FIRST


class AlreadyExists(ApiError):
    """409 AlreadyExists: a create met an object of that name."""

    retry = Retry.READ_FIRST


class Conflict(ApiError):
    """409 Conflict, or a failed precondition: the object has changed since it was read."""

    retry = Retry.READ_FIRST


class Refused(ApiError):
    """400, 403, 415 or 422, and those 500s that say what was sent is wrong: the same call would be refused again."""

    retry = Retry.NEVER


class Forbidden(Refused):
    """403: we lack a right. Somebody may grant it, so it is asked for again, after growing pauses."""

    retry = Retry.BACKOFF


class Unauthorized(Forbidden):
    """401: the server does not know who we are: a token or certificate has ended, or is of another cluster."""


class Expired(ApiError):
    """410: the resourceVersion asked for is gone; list again."""

    retry = Retry.READ_FIRST


class TooManyRequests(ApiError):
    """429: nothing was done; ask later."""

    retry = Retry.BACKOFF


class ServerFailed(ApiError):
    """5xx with an answer: it may or may not have been done; look, then decide anew."""

    retry = Retry.BACKOFF


class Unreachable(ApiError):
    """No answer: reset, time-out, refused connection. A write may have been applied."""

    retry = Retry.BACKOFF


class ProviderError(KubenodeError):
    """The cloud said no. Subclasses are meanings, so that nobody compares vendor codes."""

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NotFound(ProviderError):
    """No such instance."""


class Throttled(ProviderError):
    """Too many calls; nothing was done."""

    retry = Retry.BACKOFF


class Unavailable(ProviderError):
    """The cloud is down or slow; nothing is known to have been done."""

    retry = Retry.BACKOFF


class Ambiguous(ProviderError):
    """The answer was lost: it may have been done."""

    retry = Retry.READ_FIRST


class Busy(ProviderError):
    """Another operation on this instance is under way."""

    retry = Retry.BACKOFF


class CapacityExhausted(ProviderError):
    """No machine of this kind is to be had there now."""

    retry = Retry.BACKOFF


class QuotaExceeded(ProviderError):
    """The account's limit is reached."""


class AuthFailed(ProviderError):
    """Credentials are missing, wrong or expired; says nothing about the instance."""


class Invalid(ProviderError):
    """The request is wrong and stays wrong."""


class Unsupported(ProviderError):
    """This provider cannot do that."""


class Protected(ProviderError):
    """The instance is protected against this act."""


class TokenConflict(ProviderError):
    """The idempotency token was used before with other parameters."""
