"""Model classes as CustomResourceDefinitions: structural schemas, CEL, printer columns.

Every string, list and map is bounded, because the server prices CEL by the worst case. What a default
is in Python is a default in the schema, so that an object as stored equals an object as read.
Which bounds and rules a real server accepts: facts/api-machinery, sections 1 and 5.
"""

import copy
import enum
import functools
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, assert_never

from kubenode.core.fields import Field, Form, Told, fields_of, is_model, shape_of, summary
from kubenode.core.identity import digest
from kubenode.core.model import (
    KINDS,
    REMEDIATION,
    IntOrPercent,
    Json,
    KubenodeRemediationTemplate,
    Object,
)
from kubenode.core.model.meta import GROUP, Column, Items, Keys, Number, Rule, Text
from kubenode.core.model.quantity import DURATION_PATTERN, MAX_DURATION, PERCENT_PATTERN, format_duration

REVISION: Final = f"{GROUP}/schema-revision"
"""Annotation of a CRD: which schema it has; a controller compares it with its own at start."""

NAME_LIMITS: Final[Mapping[str, int]] = {"Machine": 63, "MachineSet": 54}
"""Names that become label values and certificate names are shorter than Kubernetes would allow.

A MachineSet's machines are named after it, with `-` and eight digits more.
"""

SCALED: Final = frozenset({"MachineSet"})
"""Kinds with a scale subresource: `spec.replicas`, `status.replicas` and `status.selector` are its three."""

_YEAR: Final = format_duration(MAX_DURATION)
DURATION: Final[Json] = {
    "type": "string", "minLength": 2, "maxLength": 32, "pattern": DURATION_PATTERN,
    # What is no duration at all is told by the pattern; without the guard the server would add an error of CEL.
    "x-kubernetes-validations": [{
        "rule": f"self.size() < 2 || !self.matches('{DURATION_PATTERN}') || duration(self) <= duration('{_YEAR}')",
        "message": "is more than a year",
    }],
}  # fmt: skip
INT_OR_PERCENT: Final[Json] = {
    "x-kubernetes-int-or-string": True, "maxLength": 10, "minimum": 0, "maximum": 2**31 - 1, "pattern": PERCENT_PATTERN,
}  # fmt: skip
STAMP: Final[Json] = {"type": "string", "format": "date-time", "maxLength": 64}
FREE_FORM: Final[Json] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def schema_of(cls: type[Object]) -> Json:
    """Give the openAPIV3Schema of a kind; the same one for every call, so it is not to be changed."""
    return _schema_of(cls)


@functools.cache
def _schema_of(cls: type[Any]) -> Json:
    schema = _object(cls)
    schema["properties"] = {
        "apiVersion": {"type": "string", "maxLength": 128},
        "kind": {"type": "string", "maxLength": 63},
        "metadata": _metadata(cls),
        **{name: part for name, part in schema["properties"].items() if name != "metadata"},
    }
    # A status appears when a controller has something to say, not by default.
    schema["properties"].get("status", {}).pop("default", None)
    required = [name for name in schema.pop("required", ()) if name != "metadata"]
    if required:
        schema["required"] = required
    return schema


def _metadata(cls: type[Any]) -> Json:
    """Give the schema of the metadata: only a name may be bounded there, and that more narrowly than by Kubernetes."""
    limit = NAME_LIMITS.get(cls.KIND.name)
    bounds = {} if limit is None else {"properties": {"name": {"type": "string", "maxLength": limit}}}
    return {"type": "object", **bounds}


def revision_of(cls: type[Object]) -> str:
    """Give a digest of what a schema accepts and fills in; its descriptions do not count."""
    return digest(json.dumps(_bare(schema_of(cls)), sort_keys=True))


def crd_of(cls: type[Object]) -> Json:
    """Give the whole CustomResourceDefinition of a kind."""
    kind = cls.KIND
    version: Json = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": copy.deepcopy(schema_of(cls))},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }
    if any(field.name == "status" for field in fields_of(cls)):
        version["subresources"] = {"status": {}}
    if kind.name in SCALED:
        version["subresources"]["scale"] = {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }  # fmt: skip
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": f".{path}"} for path in kind.selectable]
    names: Json = {
        "kind": kind.name, "listKind": f"{kind.name}List", "plural": kind.plural, "singular": kind.name.lower(),
        "shortNames": list(kind.short_names), "categories": ["kubenode"],
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}", "annotations": {REVISION: revision_of(cls)}},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def crds() -> tuple[Json, ...]:
    """Give the CustomResourceDefinitions of all our kinds, in their order."""
    return tuple(crd_of(cls) for cls in KINDS)


def remediation_crds() -> tuple[Json, ...]:
    """Give those by which others ask for a remedy."""
    return tuple(crd_of(cls) for cls in (*REMEDIATION, KubenodeRemediationTemplate))


def unbounded(schema: Json, path: str = "") -> Iterator[str]:
    """Find the paths of strings, lists and maps of a schema that have no bound; free-form objects are none."""
    kind = schema.get("type")
    is_text = (kind == "string" and "enum" not in schema) or "x-kubernetes-int-or-string" in schema
    if is_text and "maxLength" not in schema:
        yield path
    if kind == "array":
        if "maxItems" not in schema:
            yield path
        yield from unbounded(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        if "maxProperties" not in schema:
            yield path
        yield from unbounded(schema["additionalProperties"], f"{path}.*")
    for name, part in schema.get("properties", {}).items():
        yield from unbounded(part, f"{path}.{name}" if path else name)


def _object(cls: Any) -> Json:
    """Give the schema of a model class."""
    shape = shape_of(cls)
    schema: Json = {"type": "object", "description": summary(cls)}
    if shape.atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    fields = fields_of(cls)
    if fields:  # the server would drop an empty mapping, and every `kubectl apply` would be a change
        schema["properties"] = {field.wire: _property(field) for field in fields}
    required = [field.wire for field in fields if field.required]
    if required:
        schema["required"] = required
    if shape.rules:
        schema["x-kubernetes-validations"] = [_rule(rule) for rule in shape.rules]
    return schema


def _property(field: Field) -> Json:
    schema = _typed(field.told)
    is_named = field.told.form in (Form.MODEL, Form.ENUM)
    text = field.told.doc or (summary(field.told.bare) if is_named else "")
    if text:
        schema["description"] = _sentence(text)
    if not field.required and field.default is not None:
        schema["default"] = _plain(field.default)
    return schema


def _sentence(text: str) -> str:
    """Write what a field says of itself as `kubectl explain` shows it, which sets one text after another."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _typed(said: Told) -> Json:
    """Give the schema of an annotation."""
    match said.form:
        case Form.LIST:
            return _list(said)
        case Form.MAP:
            return _map(said)
        case Form.FREE:
            return copy.deepcopy(FREE_FORM)
        case Form.MODEL:
            return _object(said.bare)
        case Form.ENUM:
            return {"type": "string", "enum": [member.value for member in said.bare]}
        case Form.SCALAR:
            return _scalar(said)
        case _:
            assert_never(said.form)


def _scalar(said: Told) -> Json:
    text, number = said.mark(Text), said.mark(Number)
    if said.bare is bool:
        return {"type": "boolean"}
    if said.bare is str:
        bounds = (
            {} if text is None else {"minLength": text.min, "maxLength": text.max, "pattern": text.pattern}
        )
        return {"type": "string", **{key: value for key, value in bounds.items() if value}}
    if said.bare is int:
        bounds = {} if number is None else {"minimum": _shown(number.min), "maximum": _shown(number.max)}
        return {"type": "integer", "format": "int64", **bounds}
    whole = {datetime: STAMP, timedelta: DURATION, IntOrPercent: INT_OR_PERCENT}
    return copy.deepcopy(whole[said.bare])


def _shown(bound: int) -> int:
    """Give a bound as the server shows it, which keeps float64 in shortest digits; else each apply is a change."""
    return int(Decimal(repr(float(bound))))


def _list(said: Told) -> Json:
    bounds = said.mark(Items)
    schema: Json = {"type": "array", "items": _item(said)}
    if bounds is None:
        return schema
    schema["maxItems"] = bounds.max
    if bounds.min:
        schema["minItems"] = bounds.min
    if bounds.key:
        return {**schema, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(bounds.key)}
    return {**schema, "x-kubernetes-list-type": "atomic"}


def _item(said: Told) -> Json:
    return {} if said.item is None else _typed(said.item)


def _map(said: Told) -> Json:
    schema: Json = {"type": "object", "additionalProperties": _item(said)}
    bounds = said.mark(Keys)
    if bounds is None:
        return schema
    schema["maxProperties"] = bounds.max
    if bounds.atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    schema["x-kubernetes-validations"] = [{"rule": _key_rule(bounds), "message": key_message(bounds)}]
    return schema


def _key_rule(bounds: Keys) -> str:
    short = f"k.size() <= {bounds.key_max}"
    if bounds.pattern is None:
        return f"self.all(k, {short})"
    return f"self.all(k, {short} && k.matches({json.dumps(bounds.pattern)}))"


def key_message(bounds: Keys) -> str:
    """Say what the keys of a map must be."""
    fits = f" and match {bounds.pattern}" if bounds.pattern else ""
    return f"keys must have at most {bounds.key_max} characters{fits}"


def _rule(rule: Rule) -> Json:
    return {"rule": rule.cel, "message": rule.message, **({"fieldPath": rule.path} if rule.path else {})}


def _column(column: Column) -> Json:
    wide = {"priority": 1} if column.wide else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, **wide}


def _plain(value: Any) -> Any:
    """Give a default as it stands in a schema, whole.

    `{}` would open an object too, but the server prices and runs the object's rules over the default as
    written, and `no such key` refuses the CRD.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, IntOrPercent):
        return value.wire
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if is_model(type(value)):
        parts = {field.wire: getattr(value, field.name) for field in fields_of(value.__class__)}
        return {name: _plain(part) for name, part in parts.items() if part is not None}
    return value


def _bare(schema: Any) -> Any:
    """Leave the descriptions out of a schema; a property of that name stays, since its value is no text."""
    if isinstance(schema, dict):
        kept = {k: v for k, v in schema.items() if k != "description" or not isinstance(v, str)}
        return {key: _bare(value) for key, value in kept.items()}
    return [_bare(item) for item in schema] if isinstance(schema, list) else schema
