"""Field validation: writes with fields that the schema does not know are refused, warned of, or say nothing."""

from typing import Final

from kubenode.core.errors import ApiError, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, ApplyPatch, FieldValidation, MergePatch, Patch
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    causes,
    fails,
    holds,
    machine,
    same,
    spec,
    status,
    swap,
    told,
    version,
)
from kubenode.runtime.testing.store.eventful import HOME, event

IGNORE, WARN, STRICT = FieldValidation.IGNORE, FieldValidation.WARN, FieldValidation.STRICT


class _Strays:
    """Fields that no schema knows, of one case alone, so that warnings of others are told apart.

    Attributes:
        paths: of those in `machine`, in the order in which a server names them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.token = name.replace("-", "")
        self.paths = [f"metadata.m{self.token}", f"r{self.token}", *self._in_spec()]

    def _in_spec(self) -> list[str]:
        return [f"spec.{place}{self.token}" for place in ("a", "host.h", "z")]

    def machine(self, **fields: object) -> Json:
        """Write a Machine with them at its root, in its metadata, in its spec and below."""
        host = {f"h{self.token}": 1, "address": "192.0.2.7"}
        inner = {f"z{self.token}": 1, "host": host, f"a{self.token}": 1, **fields}
        return {**machine(self.name, metadata={f"m{self.token}": 1}, **inner), f"r{self.token}": 1}

    def warned(self, store: Api) -> list[str]:
        """Give the paths of them that the server warned of."""
        told = [text for text in store.warnings if self.token in text]
        return [text.removeprefix('unknown field "').removesuffix('"') for text in told]

    @staticmethod
    def fault(*paths: str) -> str:
        """Give the server's words for a strict refusal."""
        return "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in paths)


def _handled(strays: _Strays, *paths: str) -> str:
    return f'Machine in version "v1alpha1" cannot be handled as a Machine: {strays.fault(*paths)}'


def _bad_patch(error: ApiError, fault: str) -> None:
    """Assert that a patch was refused for this: the object that it would make is shown, and not named."""
    told(error, code=422, reason="Invalid")
    ((reason, field, message),) = causes(error)
    same((reason, field), ("FieldValueInvalid", "patch"), "cause")
    holds(message.startswith('Invalid value: "{\\"') and message.endswith(f'}}": {fault}'), message)
    same(error.status["message"], f' "" is invalid: patch: {message}', "message")


async def strict_create_names_all(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400 with each path: first those of the metadata, then the others in order. Nothing is stored."""
    strays = _Strays(fresh())
    error = await fails(Refused, store.create(kind, strays.machine(), field_validation=STRICT))
    told(error, code=400, reason="BadRequest")
    same(error.status["message"], _handled(strays, *strays.paths), "message")
    await fails(ObjectNotFound, store.get(kind, strays.name))
    same(strays.warned(store), [], "warnings")


async def strict_comes_before_the_schema(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What is wrong besides is not told, nor that the name is taken; but the kind is looked at first."""
    strays = _Strays(fresh())
    wrong = strays.machine(labels=5)
    await store.create(kind, machine(strays.name))
    error = await fails(Refused, store.create(kind, wrong, field_validation=STRICT))
    same((error.code, error.status["message"]), (400, _handled(strays, *strays.paths)), "answer")
    other = {**strays.machine(), "kind": "X", "metadata": {"name": strays.name}}
    error = await fails(Refused, store.create(kind, other, field_validation=STRICT))
    same(causes(error), {("FieldValueInvalid", "kind", 'Invalid value: "X": must be Machine')}, "causes")
    misnamed = {**wrong, "metadata": {"name": 5, f"m{strays.token}": 1}}
    error = await fails(Refused, store.create(kind, misnamed, field_validation=STRICT))
    go = "json: cannot unmarshal number into Go struct field ObjectMeta.name of type string"
    holds(error.status["message"].endswith(go), error.status["message"])


async def strict_is_content_with_what_it_knows(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A write without such fields is made, whatever the validation."""
    name = fresh()
    made = await store.create(kind, machine(name), field_validation=STRICT)
    after = await store.patch(kind, name, spec(labels={"a": "1"}), field_validation=STRICT)
    same(after["spec"]["labels"], {"a": "1"}, "labels")
    replaced = {**machine(name), "metadata": after["metadata"]}
    after = await store.replace(kind, replaced, field_validation=STRICT)
    same(after["spec"], made["spec"], "spec")


async def unknown_fields_are_warned_of(store: Api, kind: Kind, fresh: Fresh) -> None:
    """By default, each once, in the same order; they are dropped."""
    for how in (None, WARN):
        strays = _Strays(fresh())
        made = await store.create(kind, strays.machine(), field_validation=how)
        same(strays.warned(store), strays.paths, f"warnings of {how}")
        holds(strays.token not in str(made["spec"]) and f"r{strays.token}" not in made, "kept")


async def unknown_fields_are_ignored(store: Api, kind: Kind, fresh: Fresh) -> None:
    """When it is asked for: dropped without a word, in all writes."""
    strays = _Strays(fresh())
    made = await store.create(kind, strays.machine(), field_validation=IGNORE)
    patch = spec(**{f"z{strays.token}": 2})
    same(await store.patch(kind, strays.name, patch, field_validation=IGNORE), made, "patched")
    given = {**strays.machine(), "metadata": {**made["metadata"], f"m{strays.token}": 1}}
    same(await store.replace(kind, given, field_validation=IGNORE), made, "replaced")
    same(strays.warned(store), [], "warnings")


async def strict_patch_shows_the_object(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422 whose one cause is the patch, and ends with the paths; so for a JSON patch."""
    strays = _Strays(fresh())
    made = await store.create(kind, machine(strays.name))
    t = strays.token
    taint = {"key": "a", "effect": "NoSchedule", f"q{t}": 1}
    whole = MergePatch({"metadata": {f"m{t}": 1}, "spec": {f"z{t}": 1, "taints": [taint]}})
    patches: tuple[tuple[Patch, tuple[str, ...]], ...] = (
        (whole, (f"metadata.m{t}", f"spec.taints[0].q{t}", f"spec.z{t}")),
        (swap(("add", f"/spec/z{t}", 1)), (f"spec.z{t}",)),
        # What else would be refused is not looked at any more.
        (MergePatch({"metadata": {"resourceVersion": "1"}, "spec": {f"z{t}": 1}}), (f"spec.z{t}",)),
        (MergePatch({"metadata": {"name": "other"}, "spec": {f"z{t}": 1, "host": {"address": 5}}}), (f"spec.z{t}",)),
    )  # fmt: skip
    for patch, paths in patches:
        error = await fails(Refused, store.patch(kind, strays.name, patch, field_validation=STRICT))
        _bad_patch(error, strays.fault(*paths))
    missing = await fails(ObjectNotFound, store.patch(kind, fresh(), whole, field_validation=STRICT))
    told(missing, code=404, reason="NotFound")
    same(await store.get(kind, strays.name), made, "the object")
    same(strays.warned(store), [], "warnings")


async def patch_of_a_status_is_validated_whole(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What it says of the spec is ignored, but its fields are looked at."""
    strays = _Strays(fresh())
    await store.create(kind, machine(strays.name))
    t = strays.token
    both = MergePatch({"status": {f"z{t}": 1}, "spec": {f"z{t}": 1}})
    call = store.patch(kind, strays.name, both, subresource="status", field_validation=STRICT)
    _bad_patch(await fails(Refused, call), strays.fault(f"spec.z{t}", f"status.z{t}"))
    made = await store.patch(kind, strays.name, status(phase="p"), subresource="status")
    same(await store.patch(kind, strays.name, both, subresource="status"), made, "warned of")
    same(strays.warned(store), [f"spec.z{t}", f"status.z{t}"], "warnings")


async def strict_replace_comes_first(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400 before the version, and before it is known whether the object exists; the status counts as well."""
    strays = _Strays(fresh())
    t = strays.token
    given = strays.machine()
    error = await fails(Refused, store.replace(kind, given, field_validation=STRICT))
    same((error.code, error.status["message"]), (400, _handled(strays, *strays.paths)), "answer for none")
    await store.create(kind, machine(strays.name))
    given = {**given, "status": {f"z{t}": 1}}
    for subresource in ("", "status"):
        error = await fails(
            Refused, store.replace(kind, given, subresource=subresource, field_validation=STRICT)
        )
        same(
            error.status["message"],
            _handled(strays, *strays.paths, f"status.z{t}"),
            f"message of {subresource}",
        )


async def strict_apply_is_as_any(store: Api, kind: Kind, fresh: Fresh) -> None:
    """An apply with such fields fails in its own words, whatever the validation."""
    strays = _Strays(fresh())
    await store.create(kind, machine(strays.name))
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": strays.name}}
    for how in (STRICT, WARN, IGNORE):
        patch = ApplyPatch({**body, "spec": {f"z{strays.token}": 1}}, "A")
        error = await fails(Refused, store.patch(kind, strays.name, patch, field_validation=how))
        holds(f".spec.z{strays.token}: field not declared in schema" in error.status["message"], str(error))


async def strict_in_a_dry_run(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Refused as in earnest: so a manifest can be looked through."""
    strays = _Strays(fresh())
    error = await fails(Refused, store.create(kind, strays.machine(), dry_run=True, field_validation=STRICT))
    same(error.status["message"], _handled(strays, *strays.paths), "message")


async def strict_events(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Of a struct they are named as they come, after what cannot be read at all; a patch sorts them first."""
    strays = _Strays(fresh())
    t = strays.token
    given = event(strays.name, metadata={f"m{t}": 1}, involvedObject={f"o{t}": 1}, **{f"z{t}": 1, f"a{t}": 1})
    paths = [f"metadata.m{t}", f"involvedObject.o{t}", f"z{t}", f"a{t}"]
    try:
        error = await fails(Refused, store.create(HOME, given, field_validation=STRICT))
        lead = 'Event in version "v1" cannot be handled as a Event: '
        same((error.code, error.status["message"]), (400, lead + strays.fault(*paths)), "answer")
        error = await fails(Refused, store.create(HOME, {**given, "count": "x"}, field_validation=STRICT))
        go = "json: cannot unmarshal string into Go struct field Event.count of type int32"
        same(error.status["message"], lead + go, "message of what cannot be read")
        await store.create(HOME, given)
        same(strays.warned(store), paths, "warnings")
        patch = MergePatch({f"z{t}": 1, "count": 2})
        error = await fails(Refused, store.patch(HOME, strays.name, patch, field_validation=STRICT))
        _bad_patch(error, strays.fault(f"z{t}"))
        after = await store.patch(HOME, strays.name, patch, field_validation=IGNORE)
        same((after["count"], strays.warned(store)), (2, paths), "count and warnings")
    finally:
        await store.delete_all(HOME, fields={"metadata.name": strays.name})


async def event_that_says_no_kind(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It is taken for one; of another kind or version it is refused."""
    name = fresh()
    given = event(name)
    lead = '{} in version "{}" cannot be handled as a Event: no kind "{}" is registered for version "{}" in scheme '
    try:
        for said in ({"kind": "X"}, {"apiVersion": "v2"}):
            wrong = {**given, **said}
            named = wrong["kind"], wrong["apiVersion"]
            error = await fails(Refused, store.create(HOME, wrong))
            told(error, code=400, reason="BadRequest")
            holds(error.status["message"].startswith(lead.format(*named, *named)), error.status["message"])
        bare = {key: value for key, value in given.items() if key not in {"kind", "apiVersion"}}
        made = await store.create(HOME, bare)
        same((made["kind"], made["apiVersion"]), ("Event", "v1"), "kind and version")
        holds(version(made) > 0, "no resourceVersion")
    finally:
        await store.delete_all(HOME, fields={"metadata.name": name})


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        strict_create_names_all, strict_comes_before_the_schema, strict_is_content_with_what_it_knows,
        unknown_fields_are_warned_of, unknown_fields_are_ignored, strict_patch_shows_the_object,
        patch_of_a_status_is_validated_whole, strict_replace_comes_first, strict_apply_is_as_any, strict_in_a_dry_run,
        strict_events, event_that_says_no_kind,
    )
)  # fmt: skip
