"""What every display function shares: one way to show HTML with its plain words, and one way to fill prose safely."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping
from functools import cache
from html import escape as _escape
from typing import Any

from hopperbook import units

RESULT_MIME = "application/vnd.hopperbook.result+json"
FILE_MIME = "application/vnd.hopperbook.file+json"
DATA_MIME = "application/vnd.hopperbook.data+json"
BOOK_MIME = "application/vnd.hopperbook.workbook+json"
_GAPS = (units.NBSP, units.THIN)


def escape(text: object) -> str:
    """Escape text for HTML, quotes included, and turn line breaks into ``<br>``.

    Parameters
    ----------
    text : object
        Anything with a ``str``; None gives an empty string.

    Returns
    -------
    str
        Text that is safe between tags and inside a quoted attribute.

    Examples
    --------
    >>> escape('<script>"a" & b')
    '&lt;script&gt;&quot;a&quot; &amp; b'
    """
    return "" if text is None else _escape(str(text), quote=True).replace("\n", "<br>")


def show(html: str, plain: str, extra: Mapping[str, Any] | None = None) -> None:
    """Display HTML with its plain words; outside a notebook print the plain words.

    Parameters
    ----------
    html : str
        Safe HTML.
    plain : str
        The same in words, for a terminal, a diff and a reader without a browser.
    extra : mapping, optional
        Further mime types of the same output.

    Examples
    --------
    >>> show("<b>fits</b>", "fits")
    fits
    """
    bundle: dict[str, Any] = {"text/html": html, "text/plain": plain} | dict(extra or {})
    publish(bundle)


def publish(bundle: dict[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
    """Display a mime bundle; outside a notebook print its plain text.

    Parameters
    ----------
    bundle : dict
        Content by mime type, with ``text/plain`` among them.
    metadata : mapping, optional
        Metadata of the output.

    Examples
    --------
    >>> publish({"text/plain": "fits"})
    fits
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    if InteractiveShell.initialized():
        display(bundle, raw=True, metadata=dict(metadata or {}))
    else:
        print(bundle["text/plain"].replace(units.NBSP, " ").replace(units.THIN, " "))


def build_command(file_name: str, settings: Mapping[str, object] | None = None) -> str:
    """Return the command that builds a customer's report again.

    Parameters
    ----------
    file_name : str
        The customer's file.
    settings : mapping, optional
        Fields to change, as the reader would type them.

    Returns
    -------
    str
        One line for a shell.

    Examples
    --------
    >>> build_command("lingua-shop.yaml", {"kv_precision": "bf16"})
    'hopperbook build --customer lingua-shop.yaml --set kv_precision=bf16'
    """
    words = [f"--set {shlex.quote(f'{name}={value}')}" for name, value in (settings or {}).items()]
    return " ".join(["hopperbook build --customer", shlex.quote(file_name), *words])


def block(kind: str, body: str, tag: str = "div", place: str = "") -> str:
    """Wrap safe HTML in the element that the style sheet knows and MathJax leaves alone.

    Parameters
    ----------
    kind : str
        Class name without its prefix.
    body : str
        Safe HTML.
    tag : str
        Element name.
    place : str
        A plain name by which links find it.

    Returns
    -------
    str
        The element.

    Examples
    --------
    >>> block("card", "x")
    '<div class="hb hb-card mathjax_ignore">x</div>'
    """
    at = f' id="{place}"' if place else ""
    return f'<{tag} class="hb hb-{kind} mathjax_ignore"{at}>{body}</{tag}>'


def split_unit(shown: str) -> tuple[str, str]:
    """Split a formatted quantity into its number and its unit.

    Parameters
    ----------
    shown : str
        Text made by ``hopperbook.units``.

    Returns
    -------
    tuple of str
        Number and unit; the unit is empty where there is none.

    Examples
    --------
    >>> split_unit("66\\u00a0ms"), split_unit("$14,600")
    (('66', 'ms'), ('$14,600', ''))
    """
    for gap in _GAPS:
        left, cut, right = shown.partition(gap)
        if cut:
            return left, right
    return shown, ""


class _Fields(string.Formatter):
    """Fill ``{name}`` fields by a function, names only: no attributes, no indices, no format codes."""

    def __init__(self, put):
        self._put = put

    def get_field(self, field_name, args, kwargs):
        if not field_name.isidentifier():
            raise ValueError(f"text: the field {{{field_name}}} is not a plain name")
        if field_name not in kwargs:
            raise ValueError(f"text: no value was given for the field {{{field_name}}}")
        return self._put(field_name, _shown(field_name, kwargs[field_name])), field_name


def _shown(name: str, value: object) -> str:
    """Return a value as text; a bare float is refused, because it would be printed unformatted."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return units.integer(value)
    raise TypeError(f"text: the value of {{{name}}} is a {type(value).__name__}; format it with hopperbook.units first")


@cache
def _markdown():
    """Return the Markdown parser: no raw HTML, tables, and math between dollars."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    dollarmath_plugin(parser, allow_digits=False, renderer=_math)
    return parser


def _math(content: str, options: Mapping[str, Any]) -> str:
    """Return TeX with the marks that MathJax looks for."""
    left, right = (r"\[", r"\]") if options.get("display_mode") else (r"\(", r"\)")
    return f'<span class="math mathjax_process">{left}{_escape(content)}{right}</span>'


def markdown(template: str, values: Mapping[str, object], inline: bool = False) -> tuple[str, str]:
    """Fill a Markdown template so that no value can act as markup.

    Parameters
    ----------
    template : str
        Markdown by the chapter's author, with ``{name}`` fields.
    values : mapping
        Formatted text by name; an int is shown with separators, a float is refused.
    inline : bool
        True for a phrase, without a paragraph around it.

    Returns
    -------
    tuple of str
        Safe HTML, and the same as plain text.

    Raises
    ------
    TypeError
        If a value is neither text nor an int.
    ValueError
        If a field has no value or is not a plain name.

    Examples
    --------
    >>> markdown("**{who}** holds {n} users.", {"who": "*<Ann>*", "n": 4096})[0]
    '<p><strong>*&lt;Ann&gt;*</strong> holds 4,096 users.</p>'
    """
    kept: list[str] = []

    def hold(_: str, value: str) -> str:
        kept.append(value)
        return f"\ue000{len(kept) - 1}\ue001"

    marked = _Fields(hold).format(template, **values)
    html = _markdown().renderInline(marked) if inline else _markdown().render(marked).rstrip("\n")
    plain = _Fields(lambda _, value: value).format(template, **values)
    return re.sub("\ue000(\\d+)\ue001", lambda hit: escape(kept[int(hit[1])]), html), plain


def text(template: str, /, **values: object) -> None:
    """Show a piece of prose with computed numbers in it.

    Parameters
    ----------
    template : str
        Markdown with ``{name}`` fields; headings belong in Markdown cells, not here.
    **values : str or int
        Text from ``hopperbook.units`` for each field. It is escaped: a customer's ``*name*`` stays as typed.

    Examples
    --------
    >>> text("The cache takes **{cache}** of {users} users.", cache=units.gib(112.7e9), users=150)
    The cache takes **105 GiB** of 150 users.
    """
    html, plain = markdown(template, values)
    show(block("text", html), plain)
