"""A report in the language of a catalogue: charts before they are drawn; pages, scripts and search afterwards."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hopperbook import story
from hopperbook.display.figure import CHART_MIME
from hopperbook.report import given, policy, words
from hopperbook.report.catalogue import Catalogue, Listener, read

#: Keys of a chart's specification under which words stand; the others name fields, kinds and colours.
SAID = frozenset(("title", "text", "subtitle"))
ROWS = frozenset(("domain", "sort", "values", "oneOf", "equal"))
RULES = frozenset(("expr", "calculate", "filter", "test", "labelExpr", "update"))
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
#: Text of a script: a comment, or a literal.
LITERAL = re.compile(r"//[^\n]*|/\*.*?\*/|\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'", re.DOTALL)
MARKED = re.compile(r"(?:\b_|gettext)\(\s*(\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)')", re.DOTALL)
TOGGLE = re.compile(r"(let toggleHint(?:Show|Hide) = ')([^']*)(';)")
#: Scripts of others whose words are marked as gettext marks them.
OTHERS = ("searchtools.js", "doctools.js")
COPY = re.compile(r"('en': \{)(.*?)(\})", re.DOTALL)
OWN_FIELDS = ("name", "business", "region", "contact", "confidentiality")
MODEL_FIELDS = ("model", "training_model", "small_model", "teacher_model", "night_model")


def own_words(parameters: Mapping[str, Any]) -> list[str]:
    """Return what stays as the customer wrote it, and the names of her models.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    list of str
        Words that no catalogue translates.

    Examples
    --------
    >>> own_words({"name": "Lingua Shop", "model": "meta-llama/Llama-3.3-70B-Instruct"})
    ['Lingua Shop', 'meta-llama/Llama-3.3-70B-Instruct', 'Llama 3.3 70B']
    """
    found = [str(parameters.get(field) or "") for field in (*OWN_FIELDS, *MODEL_FIELDS)]
    found += [story.label(str(parameters.get(field) or "")) for field in MODEL_FIELDS]
    return [each for each in dict.fromkeys(found) if len(each) > 2]


def catalogue(parameters: Mapping[str, Any]) -> Catalogue | None:
    """Return the catalogue that a customer names; None where the report stays English.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    Catalogue or None
        Her words.

    Raises
    ------
    InputError
        As :func:`hopperbook.report.catalogue.read`.
    """
    path = given.look_files(parameters).get("language")
    return None if path is None else read(path)


def charts(notebooks: Sequence[Path], folder: Path, known: Catalogue, own: Sequence[str]) -> None:
    """Write executed notebooks whose charts speak the language, so that they are laid out for its words.

    Parameters
    ----------
    notebooks : sequence of Path
        Executed notebooks.
    folder : Path
        Where the copies go.
    known : Catalogue
        The words.
    own : sequence of str
        As :func:`own_words` returns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in notebooks:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for output in _outputs(notebook):
            output["data"][CHART_MIME] = spec(output["data"][CHART_MIME], known.say, own)
        (folder / path.name).write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _outputs(notebook: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Yield the outputs of a notebook that are charts."""
    for cell in notebook["cells"]:
        yield from (each for each in cell.get("outputs", []) if CHART_MIME in each.get("data", {}))


def spec(chart: Any, say: words.Say, own: Sequence[str], key: str = "") -> Any:
    """Return a chart's specification in another language: titles, texts, and the names in its rows wherever they stand.

    Parameters
    ----------
    chart : dict, list or scalar
        A specification, or a part of one.
    say : callable
        The translation of a message.
    own : sequence of str
        Words that stay as they are.
    key : str
        Under which key the part stands.

    Returns
    -------
    dict, list or scalar
        The same, translated.

    Examples
    --------
    >>> made = {"datasets": {"a": [{"plan": "buy", "_color": "#fff"}]}, "y": {"field": "plan", "title": "so far"}}
    >>> spec(made, str.upper, [])
    {'datasets': {'a': [{'plan': 'BUY', '_color': '#fff'}]}, 'y': {'field': 'plan', 'title': 'SO FAR'}}
    """
    if isinstance(chart, dict):
        if key == "datasets":
            return {name: [_row(row, say, own) for row in rows] for name, rows in chart.items()}
        found = {name: spec(part, say, own, name) for name, part in chart.items() if name != "tooltip"}
        if "tooltip" in chart:
            found["tooltip"] = _tooltip(chart["tooltip"], say, own)
        return {name: found[name] for name in chart}
    if isinstance(chart, list):
        return [spec(part, say, own, key) for part in chart]
    if isinstance(chart, str) and key in SAID | ROWS:
        return words.plain(chart, say, own) if _is_said(chart) else chart
    if isinstance(chart, str) and key in RULES:
        return QUOTED.sub(lambda hit: f"'{words.plain(hit[1], say, own)}'" if _is_said(hit[1]) else hit[0], chart)
    return chart


def _is_said(text: str) -> bool:
    """Return whether a string of a specification is for people: it has letters and is no colour, format or address."""
    technical = re.fullmatch(r"#[0-9a-fA-F]{3,8}|[~.,%$()+\-]*[a-z]?|-?[a-z]+|https?:\S+|[\w.]+_[\w.]*", text.strip())
    return technical is None or text.strip().isalpha() and len(text.strip()) > 1


def _row(row: dict[str, Any], say: words.Say, own: Sequence[str]) -> dict[str, Any]:
    """Return a row with its words translated; a column of colours or shapes stays."""

    def told(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [told(name, each) for each in value]
        silent = not isinstance(value, str) or name in ("_color", "_shape", "_dash", "color", "shape")
        return value if silent or not _is_said(value) else words.plain(value, say, own)

    return {name: told(name, value) for name, value in row.items()}


def _tooltip(tooltip: Any, say: words.Say, own: Sequence[str]) -> Any:
    """Return a tooltip whose entries without a title name their field in words."""
    if not isinstance(tooltip, list):
        return spec(tooltip, say, own, "tooltip")
    named = [
        {"title": each["field"]} | each if isinstance(each, dict) and "field" in each else each for each in tooltip
    ]
    return [spec(each, say, own, "tooltip") for each in named]


def pages(site: Path, known: Catalogue, own: Sequence[str]) -> None:
    """Put the pages of a report, what its scripts show, and its search into the language.

    Parameters
    ----------
    site : Path
        A report that is complete but for this; pages of the reference stay as they are, for they are code.
    known : Catalogue
        The words.
    own : sequence of str
        As :func:`own_words` returns it.
    """
    found: dict[str, str] = {}
    for path in sorted(site.glob("*.html")):
        text = policy.without(path.read_text(encoding="utf-8"))
        text = words.page(TOGGLE.sub(lambda hit: _hint(hit, known), text), known.say, own)
        path.write_text(
            re.sub(r'(<html\b[^>]*\blang=")[^"]*"', rf'\1{known.language}"', text, count=1), encoding="utf-8"
        )
        policy.put_in(path)
        found[path.stem] = text
    for path in sorted((site / "_static").glob("*.js")):
        before = path.read_text(encoding="utf-8", errors="surrogateescape")
        after = script(path.name, before, known.say)
        if after != before:
            path.unlink()
            path.write_text(after, encoding="utf-8", errors="surrogateescape")
    _search(site, found, known, own)


def _hint(hit: re.Match[str], known: Catalogue) -> str:
    """Return a line of the theme's script with its words translated, as far as its policy allows."""
    said = words.plain(hit[2], known.say)
    return hit[1] + re.sub(r"[^\w ]", "", said) + hit[3]


def script(name: str, text: str, say: words.Say) -> str:
    """Return a script with what it shows translated: all literals of ours that are prose, marked ones of others.

    Parameters
    ----------
    name : str
        Its file.
    text : str
        The script.
    say : callable
        The translation of a message.

    Returns
    -------
    str
        The script.

    Examples
    --------
    >>> script("page.js", 'button.textContent = "Show the code"; a.className = "hb-code";', str.upper)
    'button.textContent = "SHOW THE CODE"; a.className = "hb-code";'
    """

    def ours(hit: re.Match[str]) -> str:
        literal = hit[1] if hit[1] is not None else hit[2]
        return hit[0] if literal is None or not _is_prose(literal) else hit[0][0] + _literal(literal, say) + hit[0][0]

    def marked(hit: re.Match[str]) -> str:
        literal, quote = hit[2] if hit[2] is not None else hit[3], hit[1][0]
        return hit[0].replace(hit[1], quote + _literal(literal, say) + quote)

    if name == "copybutton.js":
        return COPY.sub(
            lambda hit: hit[1] + LITERAL.sub(lambda each: _copied(each, say), hit[2]) + hit[3], text, count=1
        )
    if name in OTHERS:
        return MARKED.sub(marked, text)
    return LITERAL.sub(ours, text) if name in OURS else text


OURS = frozenset(path.name for path in (Path(__file__).parent / "static").glob("*.js"))


def _copied(hit: re.Match[str], say: words.Say) -> str:
    """Return a literal of the copy button's English words; the keys before them are lower case."""
    literal = hit[2] or hit[1] or ""
    return f"'{_literal(literal, say)}'" if literal[:1].isupper() else hit[0]


def _is_prose(literal: str) -> bool:
    """Return whether a literal of a script is shown: words, not a selector, a name, an address or a setting."""
    if literal == "use strict" or re.search(r"[#\[\]>={}<_]|\.[a-z]|^--|: |^\s*\w+-[\w-]+\s*$| --", literal):
        return False
    return bool(re.search(r"[A-Za-z]{2,}", literal)) and (" " in literal or literal[:1].isupper())


def _literal(literal: str, say: words.Say) -> str:
    """Return a literal translated, safe in either kind of quotes."""
    said = words.plain(literal.replace("\\'", "'").replace('\\"', '"'), say)
    return said.replace("\\", "\\\\").replace('"', "\\u0022").replace("'", "\\u0027").replace("<", "\\u003c")


def _search(site: Path, texts: Mapping[str, str], known: Catalogue, own: Sequence[str]) -> None:
    """Let the search name pages in the language, and find its words."""
    path = site / "searchindex.js"
    hit = re.fullmatch(r"Search\.setIndex\((\{.*\})\)\s*", path.read_text(encoding="utf-8"), re.DOTALL)
    if hit is None:
        return
    index = json.loads(hit[1])
    index["titles"] = [words.plain(title, known.say, own) for title in index["titles"]]
    if "alltitles" in index:
        index["alltitles"] = {words.plain(title, known.say, own): at for title, at in index["alltitles"].items()}
    for place, name in enumerate(index["docnames"]):
        for word in _words_of(texts.get(name, "")):
            at = index["terms"].get(word)
            places = sorted({*(at if isinstance(at, list) else [] if at is None else [at]), place})
            index["terms"][word] = places[0] if len(places) == 1 else places
    made = json.dumps(index, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    path.write_text(f"Search.setIndex({made})", encoding="utf-8")


def _words_of(page: str) -> set[str]:
    """Return the words of a page's text, in small letters."""
    article = re.search(r'<article class="bd-article"[^>]*>(.*?)</article>', page, re.DOTALL)
    text = re.sub(r"<(script|style|svg|pre)\b.*?</\1>|<[^>]+>", " ", article[1] if article else "", flags=re.DOTALL)
    return set(re.findall(r"[^\W\d_]{3,}", html.unescape(text).lower()))


def extract(sites: Sequence[Path]) -> dict[str, str]:
    """Return every message of English reports with where it stands: pages, charts, scripts, search.

    Parameters
    ----------
    sites : sequence of Path
        Built reports.

    Returns
    -------
    dict of str
        Place by message, in the order of the pages.
    """
    heard = Listener()
    for site in sites:
        parameters = json.loads((site / "results.json").read_text(encoding="utf-8"))["parameters"]
        own = own_words(parameters)
        for path in sorted(site.glob("*.html")):
            heard.place = path.stem
            text = path.read_text(encoding="utf-8")
            words.page(text, heard.say, own)
            for hint in TOGGLE.finditer(text):
                words.plain(hint[2], heard.say)
        for path in sorted((site / "_sources").glob("*.ipynb")):
            heard.place = f"charts of {path.stem}"
            for output in _outputs(json.loads(path.read_text(encoding="utf-8"))):
                spec(output["data"][CHART_MIME], heard.say, own)
        for path in sorted((site / "_static").glob("*.js")):
            heard.place = path.name
            script(path.name, path.read_text(encoding="utf-8", errors="surrogateescape"), heard.say)
    return heard.heard
