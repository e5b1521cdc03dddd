"""The refusals of the embedded store, in the API server's words: each error with its Status.

Where the server names the Kind and where the plural is as odd as it is on the server.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from kubenode.core.errors import AlreadyExists, Conflict, Expired, ObjectNotFound, Refused, ServerFailed
from kubenode.core.model import Json, Kind
from kubenode.core.schema import Cause

_REJECTED = "the server rejected our request due to an error in our request"


def status(code: int, reason: str, message: str, details: Json | None = None) -> Json:
    """Give the Status object of a failure."""
    answer: Json = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code,
    }  # fmt: skip
    if reason:
        answer["reason"] = reason
    if details is not None:
        answer["details"] = details
    return answer


def deleted(kind: Kind, name: str, uid: str) -> Json:
    """Give the Status object of a delete that is done."""
    details = {**_details(kind, name, kind.plural), "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def no_such_kind(kind: Kind) -> ObjectNotFound:
    """The server serves no such kind."""
    message = f"the server could not find the requested resource ({kind.plural}.{kind.group})"
    return ObjectNotFound(message, status=status(404, "NotFound", message, {}))


def no_such_place() -> ObjectNotFound:
    """An object of a kind that has namespaces is asked for without one."""
    message = "the server could not find the requested resource"
    return ObjectNotFound(message, status=status(404, "NotFound", message, {}))


def no_such_namespace(name: str) -> ObjectNotFound:
    """An object is to be created in a namespace that does not exist."""
    return not_found(Kind(name="Namespace", plural="namespaces", group="", version="v1"), name)


def not_allowed() -> Refused:
    """Nothing can be created or deleted in all namespaces at once."""
    message = "the server does not allow this method on the requested resource"
    return Refused(message, status=status(405, "MethodNotAllowed", message, {}))


def other_namespace() -> Refused:
    """An object says that it is in another namespace."""
    return bad_request(
        "the namespace of the provided object does not match the namespace sent on the request"
    )


def undecodable(kind: Kind, fault: str, *, as_kind: str = "", as_version: str = "") -> Refused:
    """An object cannot be read, which says that it is of this kind, or of another one."""
    named, version = as_kind or kind.name, as_version or kind.version
    return bad_request(f'{named} in version "{version}" cannot be handled as a {kind.name}: {fault}')


def bad_patch(patched: Json, fault: str) -> Refused | Conflict:
    """What a patch makes of an object cannot be read; the server shows all of it, and does not name it."""
    shown = json.dumps(json.dumps(patched, separators=(",", ":"), ensure_ascii=False), ensure_ascii=False)
    cause = Cause("FieldValueInvalid", f"Invalid value: {shown}: {fault}", "patch")
    return _invalid("", {}, (cause,))


def not_found(kind: Kind, name: str) -> ObjectNotFound:
    """There is no such object."""
    message = f"{_resource(kind)} {_quoted(name)} not found"
    return ObjectNotFound(message, status=status(404, "NotFound", message, _details(kind, name, kind.plural)))


def exists(kind: Kind, name: str, *, deleting: bool) -> AlreadyExists:
    """There is an object of this name, perhaps not for long."""
    message = f"{_resource(kind)} {_quoted(name)} already exists"
    message = f"object is being deleted: {message}" if deleting else message
    return AlreadyExists(
        message, status=status(409, "AlreadyExists", message, _details(kind, name, kind.plural))
    )


def modified(kind: Kind, name: str) -> Conflict:
    """The resourceVersion of a patch is not the object's."""
    message = (
        f"Operation cannot be fulfilled on {_resource(kind)} {_quoted(name)}: the object has been modified; "
        "please apply your changes to the latest version and try again"
    )
    return Conflict(message, status=status(409, "Conflict", message, _details(kind, name, kind.plural)))


def no_such_uid(kind: Kind, name: str, uid: str) -> Conflict:
    """An apply means an incarnation of an object that does not exist."""
    message = (
        f"Operation cannot be fulfilled on {_resource(kind)} {_quoted(name)}: uid mismatch: "
        f"the provided object specified uid {uid}, and no existing object was found"
    )
    return Conflict(message, status=status(409, "Conflict", message, _details(kind, name, kind.plural)))


def precondition(kind: Kind, name: str, what: str, *, given: str, found: str) -> Conflict:
    """A precondition of a delete does not fit; `what` is UID or ResourceVersion."""
    outcome = "deleted and then recreated" if what == "UID" else "modified"
    message = (
        f"Operation cannot be fulfilled on {_qualified(kind)} {_quoted(name)}: the {what} in the precondition "
        f"({given}) does not match the {what} in record ({found}). The object might have been {outcome}"
    )
    return Conflict(message, status=status(409, "Conflict", message, _details(kind, name, kind.name)))


def invalid(kind: Kind, name: str, causes: Iterable[Cause]) -> Refused | Conflict:
    """An object has these faults; another uid among them means another incarnation, so a conflict."""
    return _invalid(_qualified(kind), _details(kind, name, kind.name), causes)


def wrong_kind(kind: Kind, name: str, given: str) -> Refused | Conflict:
    """An object says that it is of another kind."""
    named = f"{given}.{kind.group}" if kind.group else given
    cause = Cause("FieldValueInvalid", f"Invalid value: {_quoted(given)}: must be {kind.name}", "kind")
    return _invalid(named, _details(kind, name, given), (cause,))


def wrong_version(kind: Kind, name: str, given: str) -> Refused | Conflict:
    """A patch makes an object one of another version."""
    message = f"Invalid value: {_quoted(given)}: must be {kind.api_version}"
    return invalid(kind, name, (Cause("FieldValueInvalid", message, "apiVersion"),))


def unversioned(kind: Kind, name: str) -> Refused | Conflict:
    """A patch takes the resourceVersion away."""
    cause = Cause(
        "FieldValueInvalid", "Invalid value: 0: must be specified for an update", "metadata.resourceVersion"
    )
    return _invalid(_resource(kind), _details(kind, name, kind.plural), (cause,))


def bad_request(message: str) -> Refused:
    """The request itself is wrong."""
    return Refused(message, status=status(400, "BadRequest", message))


def bad_version(given: str) -> ServerFailed:
    """A resourceVersion is no number; the server calls that its own fault, too."""
    message = f'strconv.ParseUint: parsing "{given}": invalid syntax'
    return ServerFailed(message, status=status(500, "", message))


def bad_create() -> ServerFailed:
    """An object to be created has a resourceVersion; the server calls that its own fault."""
    message = "resourceVersion should not be set on objects to be created"
    return ServerFailed(message, status=status(500, "", message))


def patch_rejected(why: str, *, tested: bool) -> Refused | Conflict:
    """A JSON patch does not fit.

    The server's Status says no more; it cannot be told which operation failed, so a patch with a `test`
    is taken to have failed in it. `why` is for the reader of the message.
    """
    told = status(422, "Invalid", _REJECTED, {})
    message = f"{_REJECTED}: {why}"
    return Conflict(message, status=told) if tested else Refused(message, status=told)


def owned(told: Mapping[str, Sequence[str]]) -> Conflict:
    """An apply would change what others own: by owner, as the server shows it, the paths."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": path}
        for owner, paths in told.items()
        for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [
            line
            for owner, paths in told.items()
            for line in (f"conflicts with {owner}:", *(f"- {path}" for path in paths))
        ]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Conflict(message, status=status(409, "Conflict", message, {"causes": causes}))


def untyped(kind: Kind, name: str, fault: str) -> ServerFailed:
    """An applied configuration does not fit the schema; the server calls that its own fault."""
    typed = f"(/{name}; {kind.api_version}, Kind={kind.name})"
    message = f"failed to create typed patch object {typed}: {fault}"
    return ServerFailed(message, status=status(500, "", message))


def other_name(name: str, given: str) -> Refused:
    """An object has another name than its place, or none."""
    if given:
        return bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    return bad_request(
        f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
    )


def too_old(asked: int, oldest: int) -> Expired:
    """A watch wants events that are forgotten."""
    message = f"too old resource version: {asked} ({oldest})"
    return Expired(message, status=status(410, "Expired", message))


def page_too_old(fresh: str) -> Expired:
    """A page is asked for of a state that is forgotten; `fresh` goes on in the newest one."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    return Expired(message, status={**status(410, "Expired", message), "metadata": {"continue": fresh}})


def list_too_old() -> Expired:
    """A state is asked for that is forgotten."""
    message = "The resourceVersion for the provided list is too old."
    return Expired(message, status=status(410, "Expired", message))


def too_new(asked: int, newest: int) -> ServerFailed:
    """A read asks for a state that there is not yet; a server waits three seconds for it."""
    message = f"Timeout: Too large resource version: {asked}, current: {newest}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    details = {"causes": causes, "retryAfterSeconds": 1}
    return ServerFailed(message, status=status(504, "Timeout", message, details))


def bad_options(what: str, *causes: Cause) -> Refused | Conflict:
    """The options of a request do not go together; `what` is ListOptions, DeleteOptions and the like."""
    kind = Kind(name=what, plural=what.lower(), group="meta.k8s.io", version="v1")
    return invalid(kind, "", causes)


def other_incarnation(kind: Kind, name: str, *, given: str, found: str) -> Conflict:
    """A replacement is of another incarnation of the object."""
    message = (
        f"Operation cannot be fulfilled on {_resource(kind)} {_quoted(name)}: StorageError: invalid object, Code: 4, "
        f"Key: /registry/{kind.group}/{kind.plural}/{name}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {given}, UID in object meta: {found}"
    )
    return Conflict(message, status=status(409, "Conflict", message, _details(kind, name, kind.plural)))


def _invalid(named: str, details: Json, causes: Iterable[Cause]) -> Refused | Conflict:
    told = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    texts = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in told))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f"{named} {_quoted(details.get('name', ''))} is invalid: {listed}"
    answer = status(422, "Invalid", message, {**details, "causes": told})
    other = any(cause["field"] == "metadata.uid" for cause in told)
    return Conflict(message, status=answer) if other else Refused(message, status=answer)


def _resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _qualified(kind: Kind) -> str:
    return f"{kind.name}.{kind.group}" if kind.group else kind.name


def _details(kind: Kind, name: str, called: str) -> Json:
    details = {"name": name, "group": kind.group, "kind": called}
    return {key: value for key, value in details.items() if value}


def _quoted(text: str) -> str:
    return f'"{text}"'
