"""What people write for cloud-init: refused where cloud-init would ignore it without a word, which a machine never tells."""

from collections.abc import Iterator, Mapping
from email import message_from_string, policy
from email.message import Message
from types import MappingProxyType
from typing import Final

import yaml

CONFIG: Final = "#cloud-config"
_ARCHIVE: Final = "#cloud-config-archive"
_KINDS: Final[Mapping[str, str]] = MappingProxyType({
    _ARCHIVE: "cloud-config-archive", CONFIG: "cloud-config", "#cloud-boothook": "cloud-boothook",
    "#include-once": "x-include-once-url", "#include": "x-include-url", "#part-handler": "part-handler",
    "#upstart-job": "upstart-job", "## template: jinja": "jinja2", "#!": "x-shellscript",
})  # fmt: skip
"""How it may begin, as cloud-init's `INCLUSION_TYPES_MAP` has it, and its type as a part of a message; longer ones first."""
_TYPES: Final = frozenset({*(f"text/{kind}" for kind in _KINDS.values()), "text/x-shellscript-per-instance",
    "text/x-shellscript-per-once", "text/x-shellscript-per-boot"})  # fmt: skip
_HEADERS: Final = ("content-type:", "mime-version:")


def is_message(text: str) -> bool:
    """Tell whether it is a MIME message."""
    return text.lower().startswith(_HEADERS)


def kind_of(text: str) -> str:
    """Give the type, below `text/`, of what is no message; empty when cloud-init has none for it."""
    return next((kind for begins, kind in _KINDS.items() if text.startswith(begins)), "")


def parts_of(text: str) -> tuple[Message, ...]:
    """Give the parts of a message that are not messages of parts themselves."""
    return tuple(
        part for part in message_from_string(text, policy=policy.compat32).walk() if not part.is_multipart()
    )


def fault_in(text: str) -> str:
    """Say what is wrong with it, and never with its words, which may be secrets; empty when nothing is."""
    if "\0" in text:
        return "it holds a NUL byte"
    if is_message(text):
        return next(_faults_of_message(text), "")
    return _fault(text, kind_of(text))


def _faults_of_message(text: str) -> Iterator[str]:
    whole = message_from_string(text, policy=policy.compat32)
    if not whole.is_multipart():
        yield "it begins as a MIME message, and has no parts: cloud-init takes multipart/mixed"
        return
    for number, part in enumerate(whole.walk()):
        if part.defects:
            yield f"part {number} of the MIME message is broken: {type(part.defects[0]).__name__}"
        elif not part.is_multipart():
            type_ = part.get_content_type()
            payload = part.get_payload(decode=True)
            body = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
            if type_ not in _TYPES and not (type_ == "text/plain" and kind_of(body)):
                yield f"part {number} of the MIME message is {type_[:60]}, which cloud-init does not handle"
            elif fault := _fault(body, kind_of(body) or type_.removeprefix("text/")):
                yield f"part {number} of the MIME message: {fault}"


def _fault(text: str, kind: str) -> str:
    if not kind:
        begins = ", ".join(repr(one) for one in _KINDS)
        return f"its first line is none that cloud-init knows, so it would be ignored; begin it with {begins}, or as a MIME message"
    if kind not in ("cloud-config", "cloud-config-archive"):
        return ""
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        return f"it is no YAML{where}"
    wanted, called = (list, "a list") if kind == "cloud-config-archive" else (dict, "a mapping")
    return (
        "" if isinstance(read, wanted) else f"it is {kind}, and what follows its first line is not {called}"
    )
