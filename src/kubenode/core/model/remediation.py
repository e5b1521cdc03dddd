"""Requests of others for a remedy: a MachineHealthCheck of Cluster API, or a NodeHealthCheck of medik8s, makes one from a template.

Both make an object of the template's kind without `Template`, with what stands in `spec.template.spec`, in the namespace
that they choose; making and deleting it is all that they say.
"""

from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.condition import Conditions, ConditionType
from kubenode.core.model.meta import Column, Kind, ObjectMeta, ObservedGeneration, Text

ASKED_CONDITION = "RemediationAsked"
ASKED = "AskedFor"
"""The reason of the Node's condition while somebody asks."""


@attrs.frozen(kw_only=True)
class KubenodeRemediationSpec:
    """What is asked for.

    Attributes:
        condition: the type of the Node's condition by which NodeRemediers are told: the one for this type acts.
    """

    condition: ConditionType = ASKED_CONDITION


@attrs.frozen(kw_only=True)
class KubenodeRemediationStatus:
    """How it goes; for whom asked, the conditions Processing, Succeeded and PermanentNodeDeletionExpected.

    Attributes:
        machine: the Machine that is remedied; empty while none is known.
        job: the RemedyOperationJob that remedies it; empty before there is one.
    """

    observed_generation: ObservedGeneration = 0
    machine: Annotated[str, Text(max=253)] = ""
    job: Annotated[str, Text(max=253)] = ""
    conditions: Conditions = ()


@attrs.frozen(kw_only=True)
class KubenodeRemediation:
    """One request for a remedy of one node. Made and deleted by a health check."""

    KIND: ClassVar[Kind] = Kind(
        name="KubenodeRemediation", plural="kubenoderemediations", short_names=("knr",), namespaced=True,
        columns=(
            Column(name="Machine", path=".status.machine"),
            Column(name="Job", path=".status.job"),
            Column(name="Processing", path=".status.conditions[?(@.type=='Processing')].status"),
            Column(name="Succeeded", path=".status.conditions[?(@.type=='Succeeded')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Processing')].reason"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Message", path=".status.conditions[?(@.type=='Processing')].message", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: KubenodeRemediationSpec = KubenodeRemediationSpec()
    status: KubenodeRemediationStatus = KubenodeRemediationStatus()


@attrs.frozen(kw_only=True)
class KubenodeRemediationWish:
    """What each request says."""

    spec: KubenodeRemediationSpec = KubenodeRemediationSpec()


@attrs.frozen(kw_only=True)
class KubenodeRemediationTemplateSpec:
    """What requests are made from."""

    template: KubenodeRemediationWish = KubenodeRemediationWish()


@attrs.frozen(kw_only=True)
class KubenodeRemediationTemplate:
    """What a health check names; it is read by those alone."""

    KIND: ClassVar[Kind] = Kind(
        name="KubenodeRemediationTemplate", plural="kubenoderemediationtemplates", short_names=("knrt",), namespaced=True,
        columns=(
            Column(name="Condition", path=".spec.template.spec.condition"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: KubenodeRemediationTemplateSpec = KubenodeRemediationTemplateSpec()
