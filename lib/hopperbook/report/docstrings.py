"""The library's docstrings as pages, one a room: read from the files by griffe, so that nothing of them is run.

What is shown of a room is what its modules make and say something of: functions, classes and their methods, and
constants with a comment ``#:`` above them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import griffe
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer

from hopperbook import facts, story
from hopperbook.display.lists import anchor
from hopperbook.report.linking import PAGE

LIBRARY = Path(__file__).parents[1]
TEMPLATES = Path(__file__).parent / "templates"
#: Modules above the calculators, which no chapter shows.
ABOVE = ("cli", "__main__", "report", "studies")
#: How docutils writes what Markdown has other marks for: a formula on lines of its own, and a role.
FORMULA = re.compile(r"^( *)\.\. math::[ \n]*((?:.*\S.*\n?(?:\1 +.*\n?|\n(?=\1 +\S))*))", re.MULTILINE)
ROLE = re.compile(r":(\w+):`~?([^`]+)`")
#: The beginning of a formula in what stands for code in Markdown.
TEX = r"\("


class Entry(NamedTuple):
    """What a page says of one name.

    Parameters
    ----------
    path : str
        Full name.
    kind : str
        ``function``, ``class``, ``method``, ``property`` or ``constant``.
    signature : str
        As code calls it.
    sections : list
        Kind and content of each part of the docstring.
    members : list of Entry
        Of a class.
    chapters : sequence of str
        That call it.
    """

    path: str
    kind: str
    signature: str
    sections: list[tuple[str, Any]]
    members: list[Entry]
    chapters: Sequence[str]

    @property
    def name(self) -> str:
        """The last part of the full name."""
        return self.path.rsplit(".", 1)[-1]


class Reader(NamedTuple):
    """How the text of one module becomes HTML: from there its names are looked up, among all that have a place."""

    module: griffe.Module
    places: Mapping[str, str]

    def link(self, name: str, words: str) -> str:
        """Return a link to a name as the module knows it, or the words alone where no page explains it."""
        place = self.places.get(_target(self.module, name)) if name[:1].isidentifier() else None
        return f'<a href="{escape(place)}">{escape(words)}</a>' if place else escape(words)

    def types(self, text: str) -> Markup:
        """Return what a docstring calls the type of a value, its classes linked."""
        pieces = re.findall(r"``(.+?)``|([A-Z]\w+)|([^A-Z`]+|.)", text)
        return Markup("".join(f"<code>{escape(a)}</code>" if a else self.link(b or c, b or c) for a, b, c in pieces))

    def text(self, text: str) -> Markup:
        """Return a text of a docstring."""
        return Markup(_parser().render(_as_markdown(text), {"reader": self}))


@functools.cache
def tree() -> griffe.Module:
    """Return the library as griffe reads it."""
    logging.getLogger("griffe").setLevel(logging.CRITICAL)  # fields of a tuple are no parameters that it knows
    found = griffe.load("hopperbook", search_paths=[str(LIBRARY.parent)], docstring_parser="numpy")
    if not isinstance(found, griffe.Module):
        raise TypeError("hopperbook is no package")
    return found


def rooms() -> dict[str, list[griffe.Module]]:
    """Return the modules of each room that has a page, by the room's name.

    Returns
    -------
    dict of list
        Modules, a package before what is in it.

    Examples
    --------
    >>> [module.path for module in rooms()["memory"]]
    ['hopperbook.memory', 'hopperbook.memory.serving', 'hopperbook.memory.training']
    """
    return {room.name: list(_modules(room)) for room in _inside(tree()) if room.name not in ABOVE}


def _modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for each in _inside(module):
        yield from _modules(each)


def _inside(module: griffe.Module) -> list[griffe.Module]:
    """Return the public modules of a package, by name."""
    found = [each for name, each in module.modules.items() if not name.startswith("_") and not each.is_alias]
    return sorted(found, key=lambda each: each.name)


def _target(module: griffe.Module, name: str) -> str:
    """Return the full name of what a module, or the library, calls so; empty if it is not the library's."""
    asked = (tree(), module.imports.get(name, "")), (module, name), (tree(), name), (tree(), f"errors.{name}")
    for start, path in asked:
        within = path.removeprefix("hopperbook.")
        with contextlib.suppress(KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            if within:
                return start[within].canonical_path
    return ""


def _explained(shown: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[griffe.Module, list[Entry]]]]:
    """Return the modules of each room with what they explain, and which chapters are shown to call it."""
    found = {}
    for room, modules in rooms().items():
        found[room] = [(module, list(_entries(module, shown))) for module in modules]
    return found


def _entries(inside: griffe.Module | griffe.Class, shown: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
    """Yield what a module or a class makes and explains, in the order of its lines."""
    own = [each for name, each in inside.members.items() if not name.startswith("_") and not each.is_alias]
    for each in sorted(own, key=lambda each: each.lineno or 0):
        sections = _sections(each)
        if sections and not each.is_module:
            room, name = each.path.split(".")[1], each.name
            members = list(_entries(each, shown)) if isinstance(each, griffe.Class) else []
            chapters = shown.get(f"{room}.{name}", []) if each.is_function and inside.is_module else []
            yield Entry(each.path, _kind(each), _signature(each), sections, members, chapters)


def _kind(each: Any) -> str:
    if each.is_attribute:
        return "property" if "property" in each.labels else "constant"
    return "method" if each.is_function and each.parent.is_class else each.kind.value


def _sections(each: Any) -> list[tuple[str, Any]]:
    """Return the parts of a docstring, or of the comment above a constant."""
    if each.docstring:
        parts = [(section.kind.value, section.value) for section in each.docstring.parsed]
        return [("notes", value.contents) if kind == "admonition" else (kind, value) for kind, value in parts]
    if not each.is_attribute or not each.lineno or not isinstance(each.parent, griffe.Module):
        return []
    above = []
    for line in reversed(each.parent.lines[: each.lineno - 1]):
        if not line.startswith("#:"):
            break
        above.append(line.removeprefix("#:").strip())
    return [("text", "\n".join(reversed(above)))] if above else []


def _signature(each: Any) -> str:
    """Return how code calls a function or a class, with the defaults as they are written."""
    if each.is_attribute:
        return each.name
    if each.is_class and any(str(base) == "NamedTuple" for base in each.bases):
        fields = [field for field in each.attributes.values() if "property" not in field.labels]
        return f"{each.name}({', '.join(_given(field.name, field.value) for field in fields)})"
    words: list[str] = []
    marked = False
    for parameter in each.parameters:
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and not marked:
            words, marked = [*words, "*"], True
        marked |= kind is griffe.ParameterKind.var_positional
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        if parameter.name != "self":
            words.append(stars + _given(parameter.name, None if stars else parameter.default))
    return f"{each.name}({', '.join(words)})" if words or each.is_function else each.name


def _given(name: str, default: Any) -> str:
    return name if default is None else f"{name}={default}"


def places(entries: Mapping[str, list[tuple[griffe.Module, list[Entry]]]]) -> dict[str, str]:
    """Return where each name is explained.

    Parameters
    ----------
    entries : mapping of list
        Modules of each room and what they explain.

    Returns
    -------
    dict of str
        Page and anchor by full name.
    """
    found = {}
    for room, modules in entries.items():
        for module, made in modules:
            found[module.path] = f"{room}.html#{module.path}"
            for entry in made:
                found |= {each.path: f"{room}.html#{each.path}" for each in (entry, *entry.members)}
    return found


def names(known: Mapping[str, str]) -> dict[str, str]:
    """Return where each function and class of a room is explained, by the names that chapters use.

    Parameters
    ----------
    known : mapping of str
        Of :func:`places`.

    Returns
    -------
    dict of str
        Page and anchor by name, such as ``memory.budget``; what a package hands on from its modules is among them.
    """
    found: dict[str, str] = {}
    for modules in rooms().values():
        for module in modules:
            for name in module.members:
                path = "" if name.startswith("_") else _target(module, name)
                if path in known and tree()[path.removeprefix("hopperbook.")].kind.value in ("function", "class"):
                    found.setdefault(f"{module.name}.{name}", known[path])
    return dict(sorted(found.items()))


def _as_markdown(text: str) -> str:
    """Return a docstring's text with the marks of Markdown: formulas are code that begins with TeX's bracket."""
    text = FORMULA.sub(lambda hit: f"\n{hit[1]}```tex\n{_dedented(hit[2], hit[1])}\n{hit[1]}```\n", text)
    text = ROLE.sub(lambda hit: f"`{TEX}{hit[2]}`" if hit[1] == "math" else f"`:{hit[2]}`", text)
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)


def _dedented(formula: str, margin: str) -> str:
    return "\n".join(margin + line.strip() for line in formula.strip().splitlines() if line.strip())


@functools.cache
def _parser() -> MarkdownIt:
    """Return the parser of texts, which shows formulas and links names."""
    parser = MarkdownIt("commonmark", {"html": False})
    parser.add_render_rule("code_inline", _inline)  # type: ignore[arg-type]
    parser.add_render_rule("fence", _fence)  # type: ignore[arg-type]
    return parser


def _inline(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Mapping[str, Reader]) -> str:
    """Return a formula, a source as its title with a link to the list of them, a link to a name, or code."""
    text = tokens[at].content
    if text in facts.references():
        return f'<a href="../{PAGE}.html#{anchor("source", text)}">{escape(story.cite(text))}</a>'
    if text.startswith(TEX):
        return f'<span class="math">{escape(text)}\\)</span>'
    if text.startswith(":"):
        name = text[1:]
        return f"<code>{env['reader'].link(name, name.removeprefix('hopperbook.'))}</code>"
    return f"<code>{escape(text)}</code>"


def _fence(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Mapping[str, Reader]) -> str:
    """Return a formula on lines of its own."""
    return f'<div class="math">\\[{escape(tokens[at].content.strip())}\\]</div>\n'


@functools.cache
def _formatter() -> HtmlFormatter[str]:
    return HtmlFormatter(style="xcode", wrapcode=True)


def code(text: str) -> Markup:
    """Return lines of a session with Python, coloured.

    Parameters
    ----------
    text : str
        Such as ``>>> 1 + 1``.

    Returns
    -------
    Markup
        HTML.
    """
    return Markup(highlight(text, PythonConsoleLexer(), _formatter()))


def grouped(fields: Sequence[Any]) -> list[tuple[list[str], str, bool, str]]:
    """Join neighbours that are explained together.

    Parameters
    ----------
    fields : sequence
        Parameters of a docstring as griffe has them.

    Returns
    -------
    list of tuple
        Names, type, whether a value is given where none is named, and what is said.
    """
    found: list[tuple[list[str], str, bool, str]] = []
    for field in fields:
        name, given = getattr(field, "name", ""), getattr(field, "value", None) is not None
        about = str(field.annotation or ""), given, field.description
        if found and found[-1][1:] == about and about[2]:
            found[-1][0].append(name)
        else:
            found.append(([name], *about))
    return found


def pages(shown: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the pages of the reference, and where each name of the library is explained.

    Parameters
    ----------
    shown : mapping of sequence of str
        The chapters that call a function, by names such as ``planner.plan``.

    Returns
    -------
    dict of str
        Files by name.
    dict of str
        Page and anchor by name, of :func:`names`.
    """
    entries = _explained(shown)
    known = places(entries)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"code": code, "grouped": grouped}
    listed = [(room, _about(Reader(modules[0][0], known))) for room, modules in entries.items()]
    room, head = environment.get_template("room.html"), environment.get_template("index.html")
    found = {"index.html": head.render(rooms=listed, here="")}
    for name, modules in entries.items():
        parts = [(module, made, Reader(module, known)) for module, made in modules]
        found[f"{name}.html"] = room.render(rooms=listed, here=name, parts=parts)
    colours = _formatter().get_style_defs(".highlight")
    found["reference.css"] = (TEMPLATES / "reference.css").read_text(encoding="utf-8") + f"\n{colours}\n"
    return found, names(known)


def _about(room: Reader) -> Markup:
    """Return the first paragraph of what a room says of itself."""
    said = room.module.docstring
    return room.text(said.value.split("\n\n")[0]) if said else Markup()
