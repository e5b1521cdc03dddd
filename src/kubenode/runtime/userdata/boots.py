"""User data of machines: whether it can be had, its digest for the intent, and its bytes for the call."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kubenode.core.decision import CreateInstance, UserData
from kubenode.core.errors import Problem
from kubenode.core.identity import digest

if TYPE_CHECKING:
    from kubenode.runtime.enrolment import BootstrapToken
    from kubenode.runtime.userdata.settings import UserDataSettings

_WHERE: Final = "spec.infrastructure.userData"
_REMEMBERED: Final = 256
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Boots:
    """Makes user data for one controller.

    Args:
        settings: None: none of its machines can enrol by user data.
        tell: lets the server know a token with which an agent is to enrol; says why it does not, else nothing.
    """

    def __init__(
        self,
        settings: "UserDataSettings | None" = None,
        tell: "Callable[[BootstrapToken], Awaitable[str]] | None" = None,
    ) -> None:
        self.settings = settings
        self.tell = tell if tell is not None else _untold
        self._known: dict[tuple[bool, str], str | Problem] = {}

    def digest(self, launch: str, wanted: UserData | None) -> str | Problem:
        """Give the digest of launch parameters and user data, the token's secret aside, or why it cannot be had.

        Without user data it is that of the launch parameters.
        """
        if wanted is None:
            return launch
        key = (wanted.agent, wanted.own)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._read(wanted)
        return known if isinstance(known, Problem) else digest(launch, known)

    def _read(self, wanted: UserData) -> str | Problem:
        from kubenode.runtime.userdata.own import fault_in  # what is not used is not loaded, PyYAML above all
        from kubenode.runtime.userdata.render import LIMIT

        if wanted.agent and self.settings is None:
            what = "UserDataUnavailable: this controller is not told with what instances enrol"
            fix = "run it as kubenode controller --user-data FILE; or set agent: Image, where the image brings the agent"
            return Problem(where="spec.infrastructure.agent", what=what, fix=fix)
        if wanted.own and (fault := fault_in(wanted.own)):
            return Problem(where=_WHERE, what=f"UserDataInvalid: {fault}")
        size = len(self._bytes(wanted, self._token(wanted, "m" * 63, "u" * 36, _ANY_TIME)))
        if size > LIMIT:
            beside = " with what enrols the agent" if wanted.agent else ""
            what = f"UserDataInvalid: {size} bytes{beside}, and clouds take {LIMIT}"
            return Problem(where=_WHERE, what=what, fix="let it fetch the rest")
        return digest(
            "" if not wanted.agent or self.settings is None else self.settings.fingerprint, wanted.own
        )

    def token(self, effect: CreateInstance, now: datetime) -> "BootstrapToken | None":
        """Give the token that the instance of an effect enrols with; None when it is given none."""
        wanted = effect.user_data
        if wanted is None:
            return None
        return self._token(wanted, effect.machine.name, effect.machine.uid, now)

    def bytes_of(self, effect: CreateInstance, token: "BootstrapToken | None") -> bytes:
        """Give the user data of an effect."""
        return b"" if effect.user_data is None else self._bytes(effect.user_data, token)

    def _token(self, wanted: UserData, machine: str, uid: str, now: datetime) -> "BootstrapToken | None":
        if not wanted.agent or self.settings is None:
            return None
        return self.settings.token(machine, uid, wanted.attempt, now)

    def _bytes(self, wanted: UserData, token: "BootstrapToken | None") -> bytes:
        from kubenode.runtime.userdata.render import rendered

        needed = None if token is None or self.settings is None else self.settings.enrolling(token)
        return rendered(wanted.own, needed)


async def _untold(token: "BootstrapToken") -> str:
    """Where there is no server that could know it, as in the simulator."""
    return "there is no server that could know its token"
