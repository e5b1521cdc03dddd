"""The four stories of the demo: import, upgrade, hung, outage. Each is played and judged in a file of its own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from kubenode.runtime.sim.stories.hung import play as hung
from kubenode.runtime.sim.stories.onboarding import play as onboarding
from kubenode.runtime.sim.stories.outage import play as outage
from kubenode.runtime.sim.stories.upgrade import play as upgrade
from kubenode.runtime.sim.story import Attend, Cast, Tell, Told, alone


class Play(Protocol):
    """Plays one story on a cast."""

    def __call__(self, cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
        """Play it to its end and judge it."""


STORIES: Mapping[str, Play] = MappingProxyType(
    {"import": onboarding, "upgrade": upgrade, "hung": hung, "outage": outage}
)
"""By name, in the order in which they are played."""

__all__ = ["STORIES", "Play"]
