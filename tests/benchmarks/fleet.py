"""The upgrade story over fleets of any size, all of one shape."""

import attrs

from kubenode.core import model as m
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import ZONES, Cast, examples
from tests.benchmarks.meter import Meter, Sample

EXAMPLE = 200
"""For how many machines the example's limits are written."""


def scaled(cast: Cast) -> Cast:
    """Write the example's limits as shares of the fleet it is made for, so that every size has the same shape.

    As they stand, 80 an hour and zone, a rollout over 10,000 machines would take more than 41 hours. The batches stay as they are.
    """

    def share(limit: m.Limit) -> m.Limit:
        machines = EXAMPLE if limit.scope is m.Scope.CLUSTER else EXAMPLE // len(ZONES)
        percent = min(100, 100 * limit.max.amount // machines)
        return attrs.evolve(limit, max=m.IntOrPercent(percent, percent=True))

    def spread(one: m.Object) -> m.Object:
        if not isinstance(one, m.RiskPolicy):
            return one
        return attrs.evolve(one, spec=attrs.evolve(one.spec, limits=tuple(map(share, one.spec.limits))))

    return attrs.evolve(cast, objects=tuple(map(spread, cast.objects)))


def rollout(size: int) -> Sample:
    """Play the story over so many machines, with its witness and its checks."""
    cast = scaled(Cast.read([examples() / "upgrade.yaml"]).with_machines(size))
    with Meter() as meter:
        told = STORIES["upgrade"](cast, 0, lambda _: None)
    assert told.passed, [check for check in told.checks if not check.passed]
    return meter.sample(told.decisions + told.effects, decisions=told.decisions)
