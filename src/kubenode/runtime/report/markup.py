"""HTML that is escaped unless it was made here: text from objects cannot become markup by being forgotten."""

from collections.abc import Iterable
from html import escape
from typing import Final, TypeAlias

VOID: Final = frozenset({"meta", "rect", "line", "path", "circle", "br"})


class Markup(str):
    """HTML made by `tag`, `join` or `trusted`; any other text is escaped where it is placed."""

    __slots__ = ()


Child: TypeAlias = str | int | Markup | Iterable["Child"]
Value: TypeAlias = str | int | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """Give one element.

    Args:
        name: of the element.
        children: text (escaped), markup, or several of them.
        attributes: `class_` is class, other `_` are `-`; None and False are left out, True has no value.

    >>> tag("td", "<b>", class_="n", data_at=3)
    '<td class="n" data-at="3">&lt;b&gt;</td>'
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = key.rstrip("_").replace("_", "-")
        parts.append(spelled if value is True else f'{spelled}="{escape(_text(value))}"')
    head = " ".join(parts)
    if name in VOID:
        return Markup(f"<{head}/>" if name != "meta" else f"<{head}>")
    return Markup(f"<{head}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Put children beside each other, each escaped unless it is markup."""
    return Markup("".join(_child(child) for child in children))


def trusted(text: str) -> Markup:
    """Take our own text for markup: the style sheet and the script; never anything from an object."""
    return Markup(text)


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return escape(str(child))
    return join(child)


def _text(value: Value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def figure(title: str, answer: Child, body: Child, *, id_: str, question: str) -> Markup:
    """Give one section: its title, the question it answers, the answer in words, then the chart."""
    return tag(
        "section",
        tag("header", tag("h3", title), tag("p", question, class_="question")),
        tag("p", answer, class_="answer"), body, id=id_, class_="card", aria_label=title,
    )  # fmt: skip


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[Child]]) -> Markup:
    """Give the numbers behind a chart, folded away until asked for."""
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    if not body:
        return Markup("")
    return tag(
        "details",
        tag("summary", f"Numbers: {caption} ({len(body)})"),
        tag("div",
            tag("table", tag("caption", caption),
                tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))), tag("tbody", body)),
            class_="scroll", tabindex=0, role="region", aria_label=caption),
    )  # fmt: skip


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Give the key of the colours: class and word."""
    return tag(
        "ul", *(tag("li", tag("i", class_=f"key {css}", aria_hidden="true"), word) for css, word in entries),
        class_="legend",
    )  # fmt: skip
