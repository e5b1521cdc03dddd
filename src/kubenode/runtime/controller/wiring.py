"""How the central controllers are put together: one cache, one inventory, the controllers, one engine."""

from collections.abc import Collection
from typing import Final

from kubenode.core import model as m
from kubenode.core.model.risk import LEDGER
from kubenode.core.policy import Policy
from kubenode.runtime.controller.abandoned import AbandonedController
from kubenode.runtime.controller.accept import AcceptController
from kubenode.runtime.controller.definitions import CrdLeaving, no_crds
from kubenode.runtime.controller.doctor import DoctorController
from kubenode.runtime.controller.drift import DriftController
from kubenode.runtime.controller.enrol import EnrolController
from kubenode.runtime.controller.external import ExternalController
from kubenode.runtime.controller.inspections import Inspections
from kubenode.runtime.controller.inspections import in_place as ask_in_place
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.machine import MachineController
from kubenode.runtime.controller.machineset import MachineSetController
from kubenode.runtime.controller.panel import Panel, in_place
from kubenode.runtime.controller.rehearsal import RehearsalController
from kubenode.runtime.controller.remedy import RemedyController
from kubenode.runtime.controller.repair import RepairController
from kubenode.runtime.controller.rights import ENROL, EXTERNAL
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.controller.rollout import RolloutController
from kubenode.runtime.controller.workloads import Workloads, unseen
from kubenode.runtime.engine.loop import Engine, Fault, Recorder, Stirred, heedless, raised
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache

FIRST = Stirred(key=Key("risk", LEDGER))
"""What a starting engine is told: the ledger has to be there before anybody asks."""


NAMES: Final = (
    "machine",
    "machineset",
    "rollout",
    "drift",
    "remedy",
    "rehearsal",
    "repair",
    "abandoned",
    "accept",
    "risk",
    "doctor",
)
"""The central controllers."""

OPTIONAL: Final = (ENROL, EXTERNAL)
"""Those that run only when named: they answer requests for certificates, and those of others for remedies."""


def controllers(  # noqa: PLR0913 - all but the plugins have a default, and the rest a name
    plugins: Plugins, record: Recorder | None = None, fault: Fault = raised, *, policy: Policy | None = None,
    only: Collection[str] = NAMES, panel: Panel | None = None, inspections: Inspections = ask_in_place,
    observes: bool = False, crd_leaving: CrdLeaving = no_crds, machines_leaving: CrdLeaving = no_crds, workloads: Workloads = unseen,
    instances: Instances | None = None, events: Events | None = None,
) -> Engine:  # fmt: skip
    """Put the central controllers together; the engine is inert until its driver feeds it.

    Args:
        plugins: whose drivers, reviewers and inspections they use.
        record: is told every decision.
        fault: is told of a bug of ours.
        policy: joins what stands in the store.
        only: the names of those that decide; the others are not there.
        panel: asks the reviewers; None asks them in place.
        inspections: asks the hooks of rollouts.
        observes: decide, and call nothing.
        crd_leaving: tells of a set that leaves whether its CRD does.
        machines_leaving: tells it of a machine.
        workloads: looks at the Pods of Nodes that are being drained.
        instances: what is known of the providers' instances; None: nobody looks at any.
        events: what the providers told of them; None: nobody polls any.
    """
    asked = (*(m.ASKED if ENROL in only else ()), *(m.REMEDIATION if EXTERNAL in only else ()))
    cache = Cache((*m.WATCHED, *asked))
    inventory = Inventory(cache, policy)
    rehearsal = RehearsalController(cache)
    seen = instances if instances is not None else Instances(plugins)
    every = (
        MachineController(cache, inventory, plugins, seen, workloads, machines_leaving),
        MachineSetController(cache, inventory, seen, crd_leaving),
        RolloutController(cache, inventory, plugins, inspections),
        DriftController(cache, inventory),
        RemedyController(cache, inventory, plugins, seen),
        rehearsal,
        RepairController(cache, inventory),
        AbandonedController(cache, inventory),
        AcceptController(cache, plugins),
        RiskController(cache, inventory, panel if panel is not None else in_place(plugins.reviewers)),
        DoctorController(cache, inventory, events if events is not None else Events(plugins)),
    )
    enrol = _enrol(cache) if ENROL in only else ()
    external = (ExternalController(cache, inventory, seen),) if EXTERNAL in only else ()
    return Engine(
        cache, (*(one for one in every if one.name in only), *enrol, *external),
        policy=inventory.policy, fold=inventory.fold, record=record, fault=fault, observes=observes,
        heed=rehearsal.heed if rehearsal.name in only else heedless,
    )  # fmt: skip


def _enrol(cache: Cache) -> tuple[EnrolController]:
    """Give the controller that an extra is needed for."""
    from kubenode.runtime.pkcs10 import read_request

    return (EnrolController(cache, read_request),)
