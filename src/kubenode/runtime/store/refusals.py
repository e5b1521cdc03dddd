"""The refusals of the embedded store, in the API server's words: each error with its Status.

Where the server names the Kind and where the plural is as odd as it is on the server.
"""

from collections.abc import Iterable

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


def too_old(asked: int, oldest: int) -> Expired:
    """A watch wants events that are forgotten."""
    message = f"too old resource version: {asked} ({oldest})"
    return Expired(message, status=status(410, "Expired", message))


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
