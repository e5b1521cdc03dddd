"""What a model class says of its fields: spelling on the wire, bounds, default and meaning, read once a class.

`core/crd.py` writes schemas from it and `core/wire.py` reads and writes objects by it, so both spell a field alike.
"""

import enum
import functools
import inspect
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import attrs

from kubenode.core.model.meta import Shape, Wire
from kubenode.core.model.quantity import IntOrPercent

M = TypeVar("M")

NO_SHAPE: Final = Shape()
_DOCUMENTED: Final = re.compile(r"^    (\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)


class Form(enum.Enum):
    """What stands on the wire for a type."""

    LIST = "list"
    MAP = "map"
    FREE = "free"
    """A mapping of which no class says what is in it."""
    MODEL = "model"
    ENUM = "enum"
    SCALAR = "scalar"


@attrs.frozen(kw_only=True)
class Told:
    """An annotation taken apart.

    Attributes:
        bare: the type without `Annotated` and without `| None`.
        item: the annotation of a list's items or a map's values, else None.
        marks: the outermost first.
        doc: the outermost text; empty when there is none.
    """

    bare: Any
    form: Form
    item: "Told | None" = None
    optional: bool = False
    marks: tuple[Any, ...] = ()
    doc: str = ""

    def mark(self, cls: type[M]) -> M | None:
        """Give the outermost mark of a class, or None."""
        return next((mark for mark in self.marks if isinstance(mark, cls)), None)


@attrs.frozen(kw_only=True)
class Field:
    """One field of a model class.

    Attributes:
        name: in Python.
        wire: on the wire.
        default: its default, made; `attrs.NOTHING` when the field is required.
    """

    name: str
    wire: str
    told: Told
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is attrs.NOTHING


_FIELDS: Final[dict[type[Any], tuple[Field, ...]]] = {}


def camel_case(name: str) -> str:
    """Spell a field as Kubernetes does: `max_unavailable` is `maxUnavailable`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@functools.cache
def told(annotation: Any) -> Told:
    """Take an annotation apart."""
    marks: list[Any] = []
    optional = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *inner = get_args(annotation)
            marks.extend(reversed(inner))
        elif origin in {Union, types.UnionType}:
            (annotation,) = (part for part in get_args(annotation) if part is not types.NoneType)
            optional = True
        else:
            break
    doc = next((mark for mark in marks if isinstance(mark, str)), "")
    form, item = _form(annotation)
    return Told(bare=annotation, form=form, item=item, optional=optional, marks=tuple(marks), doc=doc)


def _form(bare: Any) -> tuple[Form, Told | None]:
    origin = get_origin(bare)
    if origin is tuple:
        return Form.LIST, told(get_args(bare)[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        value = get_args(bare)[1]
        return (Form.FREE, None) if value is Any else (Form.MAP, told(value))
    if is_model(bare):
        return Form.MODEL, None
    is_enum = isinstance(bare, type) and issubclass(bare, enum.Enum)
    return (Form.ENUM if is_enum else Form.SCALAR), None


def fields_of(cls: type[Any]) -> tuple[Field, ...]:
    """Give the fields of a model class, in order."""
    known = _FIELDS.get(cls)
    if known is None:
        documented = _documented(cls)
        known = _FIELDS[cls] = tuple(_field(attribute, documented) for attribute in attrs.fields(cls))
    return known


def shape_of(cls: type[Any]) -> Shape:
    """Give what a class says about itself as a schema."""
    shape = getattr(cls, "SHAPE", NO_SHAPE)
    return shape if isinstance(shape, Shape) else NO_SHAPE


def is_model(bare: Any) -> bool:
    """Tell whether a type is a class of fields of its own; a quantity is one value."""
    return attrs.has(bare) and bare is not IntOrPercent


def summary(cls: type[Any]) -> str:
    """Give the first line of a class's docstring."""
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _field(attribute: "attrs.Attribute[Any]", documented: Mapping[str, str]) -> Field:
    annotation: Any = attribute.type
    said = told(annotation)
    spelled = said.mark(Wire)
    default: Any = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, stubbed as a function
        default = default.factory()
    return Field(
        name=attribute.name,
        wire=spelled.name if spelled is not None else camel_case(attribute.name),
        # What a class says of its own field is more than what a type says that many classes use.
        told=attrs.evolve(said, doc=documented.get(attribute.name, said.doc)),
        default=default,
    )


def _documented(cls: type[Any]) -> Mapping[str, str]:
    """Read the `Attributes:` section of a docstring."""
    _, _, section = (inspect.getdoc(cls) or "").partition("\nAttributes:\n")
    return {name: re.sub(r"\s+", " ", text) for name, text in _DOCUMENTED.findall(section)}
