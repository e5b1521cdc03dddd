"""What every object has, and the marks from which schemas and readers are made.

Fields are annotated `Annotated[type, mark, ..., "what it says"]`. The marks bound every string,
list, map and number; `core/crd.py` writes them as a structural schema and `core/wire.py` reads by them.
"""

import enum
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import attrs

Json: TypeAlias = dict[str, Any]
"""An object as it stands on the wire."""

GROUP = "kubenode.dev"
VERSION = "v1alpha1"
FINALIZER = f"{GROUP}/machine"
MACHINE_LABEL = f"{GROUP}/machine"
ZONE_LABEL = "topology.kubernetes.io/zone"
REGION_LABEL = "topology.kubernetes.io/region"
HOLD_LABEL = f"{GROUP}/hold"
"""On a Machine or its Node, with any value: nothing automatic disrupts it."""
DRIFT_ALLOWED = f"allow-drift.{GROUP}/"
"""With the name of an entry behind it: the label of a Machine by which a person lets that component be as it is."""
FORCED = f"{GROUP}/forced"
"""Annotation by which a person forces a RemedyOperationJob; its value says who and why."""
SYNCED_LABELS = f"{GROUP}/synced-labels"
SYNCED_ANNOTATIONS = f"{GROUP}/synced-annotations"
SYNCED_TAINTS = f"{GROUP}/synced-taints"

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_KEY = "^([-a-z0-9.]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
"""A key of a label, an annotation or a taint."""
ADDRESS_PATTERN = "^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$"
"""An IP address or DNS name: no option, no path, no port."""
UNIT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*$"
"""A systemd unit: it cannot be read as an option of systemctl, nor name a path."""


@attrs.frozen(kw_only=True)
class Text:
    """Bounds of a string. `pattern` is whole-string: it begins with ^, ends with $, and uses ASCII classes only."""

    max: int
    min: int = 0
    pattern: str | None = None


@attrs.frozen(kw_only=True)
class Number:
    """Bounds of an integer, both inclusive."""

    min: int
    max: int


@attrs.frozen(kw_only=True)
class Items:
    """Bounds of a list. `key` makes it a list-map by those fields; else it is atomic."""

    max: int
    min: int = 0
    key: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Keys:
    """Bounds of a map. `pattern` is for each key; `atomic` makes the whole map one value."""

    max: int
    pattern: str | None = None
    key_max: int = 63
    atomic: bool = False


@attrs.frozen(kw_only=True)
class Wire:
    """The spelling on the wire, where it is not the camelCase of the field."""

    name: str


@attrs.frozen(kw_only=True)
class Rule:
    """One law over several fields, said twice: in CEL for the server, in Python for core.

    Attributes:
        cel: the expression; true when the object is good.
        check: the same over the attrs object; None for rules over `oldSelf`, which core cannot see.
        message: names the fault and a good example.
        path: the field to blame, with a leading dot; empty for the object itself.
    """

    cel: str
    message: str
    check: Callable[[Any], bool] | None = None
    path: str = ""


@attrs.frozen(kw_only=True)
class Shape:
    """What a class says about itself as a schema: `SHAPE: ClassVar[Shape]`."""

    atomic: bool = False
    rules: tuple[Rule, ...] = ()


@attrs.frozen(kw_only=True)
class Column:
    """One printer column of `kubectl get`; `wide` ones need `-o wide`, and come after all others.

    The server prints one value: of several that a path leads to, the first.
    """

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@attrs.frozen(kw_only=True)
class Kind:
    """What the API calls a class of objects, perhaps only those in one namespace. All our kinds are cluster-scoped.

    Attributes:
        group: the API group; empty for the core group.
        selectable: the fields that objects can be selected by, besides metadata.name, such as `status.phase`.
        namespaced: each object is in a namespace.
        namespace: the one that is meant; empty for all of them.
        only: a field selector: of the others nothing is listed or watched; empty for all.
        served: False for kinds that are not ours (Node): no CRD is made of them.
    """

    name: str
    plural: str
    group: str = GROUP
    version: str = VERSION
    short_names: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    served: bool = True
    selectable: tuple[str, ...] = ()
    namespaced: bool = False
    namespace: str = ""
    only: str = ""

    def within(self, namespace: str) -> "Kind":
        """Give the same kind in one namespace. Raises ValueError when its objects are in none."""
        if not self.namespaced:
            raise ValueError(f"{self.name} is cluster-scoped: its objects are in no namespace")
        return attrs.evolve(self, namespace=namespace)

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


Name: TypeAlias = Annotated[str, Text(max=253, min=1)]
DnsLabel: TypeAlias = Annotated[str, Text(max=63, min=1, pattern=f"^{LABEL}$")]
Uid: TypeAlias = Annotated[str, Text(max=64), "its metadata.uid: which incarnation of that name is meant"]
OpId: TypeAlias = Annotated[str, Text(max=128, min=1), "name of one act on one machine, and of its permit"]
Reason: TypeAlias = Annotated[
    str, Text(max=128, min=1, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"), "why, in one word"
]
Message: TypeAlias = Annotated[str, Text(max=2048), "more about it, for people"]
LabelValue: TypeAlias = Annotated[str, Text(max=63, pattern="^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
Labels: TypeAlias = Annotated[
    Mapping[str, LabelValue],
    Keys(max=64, key_max=317, pattern=LABEL_KEY),
]
Annotations: TypeAlias = Annotated[
    Mapping[str, Annotated[str, Text(max=4096)]],
    Keys(max=64, key_max=317, pattern=LABEL_KEY),
]
Parameters: TypeAlias = Annotated[
    Mapping[str, Any],
    "free form: the plugin says what is allowed, as `kubenode plugins` and `kubenode validate` do",
]


ObservedGeneration: TypeAlias = Annotated[
    int,
    Number(min=0, max=2**53),
    "the metadata.generation that this is about; an older one than the object's says nothing of its newest spec",
]


@attrs.frozen(kw_only=True)
class OwnerReference:
    """What an object belongs to, as far as it is looked at."""

    api_version: Annotated[str, Wire(name="apiVersion")] = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


@attrs.frozen(kw_only=True)
class ObjectMeta:
    """The metadata of an object, as read. Only name, labels, annotations and finalizers are ever written.

    Attributes:
        namespace: where it is; empty of what is in none, as all our kinds but requests for remediation.
        unknown: paths of fields and values that this version does not know (the lenient reader's
            finding, not on the wire). An object with any is a newer version's: hands off.
    """

    name: str
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    namespace: str = ""
    owner_references: tuple[OwnerReference, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Where it is among those of its kind: its name, behind its namespace if it is in one."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@attrs.frozen(kw_only=True)
class Ref:
    """One incarnation of one object: kind, name (behind its namespace, if it is in one) and uid."""

    kind: str
    name: str
    uid: str = ""


@runtime_checkable
class Object(Protocol):
    """What every kind has."""

    KIND: ClassVar[Kind]

    @property
    def metadata(self) -> ObjectMeta:
        """The object's metadata."""


def ref(obj: Object) -> Ref:
    """Name one incarnation of an object."""
    return Ref(kind=obj.KIND.name, name=obj.metadata.key, uid=obj.metadata.uid)


class Switch(enum.Enum):
    """Whether it is so: True, False or Unknown."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


_WHOLE: dict[str, re.Pattern[str]] = {}


def matches(pattern: str, text: str) -> bool:
    """Tell whether a whole string fits a `^...$` pattern, as RE2 does (a last newline never fits)."""
    compiled = _WHOLE.get(pattern)
    if compiled is None:
        compiled = _WHOLE[pattern] = re.compile(pattern.removeprefix("^").removesuffix("$"), re.ASCII)
    return compiled.fullmatch(text) is not None
