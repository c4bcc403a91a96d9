"""The words of a page, one message a block of text, so that a page can be put into another language as a whole.

A message is the text of a block as a translator reads it: inline markup is ``<1>...</1>``, and what stays as it is
(numbers, names with digits, code, formulas, the customer's own words) is ``{1}``, so that one message serves every
customer.  Whatever a page shows passes here, whoever wrote it: no sentence needs to be marked.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

#: Given a message, its translation; the message itself where there is none.
Say = Callable[[str], str]
TOKEN = re.compile(
    r"<!--.*?-->|<![a-zA-Z][^>]*>|<(?P<end>/?)(?P<tag>[a-zA-Z][\w:-]*)(?P<rest>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>|[^<]+|<",
    re.DOTALL,
)
INLINE = frozenset(
    ("a", "abbr", "b", "bdi", "cite", "em", "i", "mark", "q", "s", "small", "span", "strong", "sub")
) | frozenset(("sup", "u", "var", "br", "wbr"))
#: Elements whose content is no prose: they pass untouched; a picture was drawn in the language already.
CLOSED = frozenset(["script", "style", "pre", "svg", "textarea", "template", "mjx-container"])
#: Elements that stand in a sentence and keep their content.
KEPT = re.compile(r"<(?:code|kbd|samp|img|input)\b|<span[^>]*class=\"[^\"]*\b(?:math|eqno)\b")
VOID = frozenset(["br", "wbr", "img", "input", "hr", "meta", "link", "col", "source", "area", "base", "embed"])
SPOKEN = ("title", "aria-label", "alt", "placeholder", "data-label", "data-bs-title")
ATTRIBUTE = re.compile(rf'(?<![\w-])({"|".join(SPOKEN)})="([^"]*)"')
CHOICES = re.compile(r'(?<![\w-])data-choices="([^"]*)"')
LETTER = re.compile(r"[^\W\d_]")
#: A run of signs that holds a digit, without the punctuation around it.
NUMBER = re.compile(r"[^\s<>{}()\[\]\"'“”,;:!?]*\d(?:[^\s<>{}()\[\]\"'“”;:!?]*[^\s<>{}()\[\]\"'“”.,;:!?])?")
MARK = re.compile(r"\{(\d+)\}|<(/?)(\d+)(/?)>")
ENTITY = re.compile(r"&(?!amp;|lt;|gt;)(?:#\w+|\w+);")


class Part(NamedTuple):
    """A piece of a block: ``text``, an ``open`` or ``close`` tag, a ``void`` one, or what is ``kept`` as it is."""

    kind: str
    raw: str
    tag: str = ""


def message(text: str, own: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Return the message of plain text, and what its numbered places stand for.

    Parameters
    ----------
    text : str
        Escaped text without markup.
    own : sequence of str
        Words that stay as they are, escaped, the longest first.

    Returns
    -------
    tuple
        Message, and the values of ``{1}``, ``{2}``, ....

    Examples
    --------
    >>> message("Rent 8 × H100 SXM, $14,600 a month.")
    ('Rent {1} × {2} SXM, {3} a month.', ['8', 'H100', '$14,600'])
    """
    values: list[str] = []

    def keep(hit: re.Match[str]) -> str:
        values.append(hit[0])
        return f"{{{len(values)}}}"

    pattern = "|".join([*(rf"(?<!\w){re.escape(word)}(?!\w)" for word in own), NUMBER.pattern])
    return re.sub(pattern, keep, text.replace("{", "&lbrace;").replace("}", "&rbrace;")), values


def fill(translated: str, values: Sequence[str], tags: Sequence[tuple[str, str]] = ()) -> str:
    """Put values and tags back into a message.

    Parameters
    ----------
    translated : str
        A message.
    values : sequence of str
        For ``{1}``, ....
    tags : sequence of tuple
        Opening and closing tag for ``<1>``, ....

    Returns
    -------
    str
        Text or HTML.

    Examples
    --------
    >>> fill("<1>{2}</1> of {1}", ["a", "b"], [("<b>", "</b>")])
    '<b>b</b> of a'
    """

    def put(hit: re.Match[str]) -> str:
        if hit[1]:
            return values[int(hit[1]) - 1]
        return tags[int(hit[3]) - 1][1 if hit[2] else 0]

    return MARK.sub(put, translated)


def again(message_: str) -> str:
    """Return the form in which a message is known again once its places are filled and it stands on a page.

    Parameters
    ----------
    message_ : str
        A message, or its translation.

    Returns
    -------
    str
        The message of the filled text, its places and tags without their numbers: a word that a translation sets
        against a number becomes part of it.

    Examples
    --------
    >>> again("{2} von <1>{1}</1>"), again("{1}er Gruppe"), again("{1} Gruppe")
    ('{} von <>{}</>', '{} Gruppe', '{} Gruppe')
    """
    filled = MARK.sub(lambda hit: "0" if hit[1] else f"<{hit[2]}{hit[4]}>", message_)
    return MARK.sub("{}", message(filled)[0])


def fits(source: str, translated: str) -> bool:
    """Return whether a translation has the places and tags of its message, each as often, and no other markup.

    Parameters
    ----------
    source, translated : str
        Messages.

    Returns
    -------
    bool
        False for what cannot stand in a page.

    Examples
    --------
    >>> fits("{1} of <1>a</1>", "<1>b</1> {1}"), fits("a", "<script>"), fits("{1}", "{2}")
    (True, False, False)
    """
    one, other = (sorted(hit[0] for hit in MARK.finditer(text)) for text in (source, translated))
    return one == other and "<" not in MARK.sub("", translated) and ">" not in MARK.sub("", translated)


def plain(text: str, say: Say, own: Sequence[str] = ()) -> str:
    """Translate plain text, such as an axis title.

    Parameters
    ----------
    text : str
        Text, not escaped.
    say : callable
        The translation of a message.
    own : sequence of str
        Words that stay as they are.

    Returns
    -------
    str
        Text, not escaped.

    Examples
    --------
    >>> plain("66 ms a token", lambda m: m.replace("a token", "pro Token"))
    '66 ms pro Token'
    """
    return html.unescape(_text(html.escape(text, quote=False), say, own))


def _text(text: str, say: Say, own: Sequence[str]) -> str:
    """Translate escaped text without markup; the blanks around it stay."""
    bare = text.strip()
    key, values = message(ENTITY.sub(lambda hit: html.unescape(hit[0]), bare), own)
    if not LETTER.search(MARK.sub("", key)):
        return text
    said = fill(say(" ".join(key.split(" "))), values)
    return text[: len(text) - len(text.lstrip())] + said + text[len(text.rstrip()) :]


def page(text: str, say: Say, own: Sequence[str] = ()) -> str:
    """Translate a page: its blocks of text, and what is said of its parts.

    Parameters
    ----------
    text : str
        HTML.
    say : callable
        The translation of a message.
    own : sequence of str
        Words that stay as they are, not escaped.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> page('<p title="Why">The <b>best</b> of 8</p>', str.upper)
    '<p title="WHY">THE <b>BEST</b> OF 8</p>'
    """
    own = [html.escape(word, quote=False) for word in sorted({*own}, key=lambda w: (-len(w), w)) if word.strip()]
    done: list[str] = []
    block: list[Part] = []

    def flush() -> None:
        done.extend(_block(block, say, own))
        block.clear()

    place = 0
    while place < len(text):
        hit = TOKEN.match(text, place)
        if hit is None:
            break
        place = hit.end()
        tag = (hit["tag"] or "").lower()
        if not tag:
            inline = not hit[0].startswith("<!")
            block.append(Part("text", hit[0])) if inline else done.extend((*_flushed(block, say, own), hit[0]))
            continue
        if not hit["end"] and (tag in CLOSED or KEPT.match(hit[0])):
            place = hit.end() if tag in VOID else _end(text, tag, hit.end())
            raw = _attributes(hit[0], say, own) if tag in VOID else text[hit.start() : place]
            if tag in CLOSED:
                flush()
                done.append(raw)
            else:
                block.append(Part("kept", raw))
            continue
        raw = _attributes(hit[0], say, own)
        if tag not in INLINE or "headerlink" in hit["rest"]:
            flush()
            if "headerlink" in hit["rest"]:
                place = _end(text, tag, hit.end())
                raw += text[hit.end() : place]
            done.append(raw)
        else:
            kind = "void" if tag in VOID else "close" if hit["end"] else "open"
            block.append(Part(kind, raw, tag))
    flush()
    return "".join(done)


def _flushed(block: list[Part], say: Say, own: Sequence[str]) -> list[str]:
    """Translate what has gathered, and empty it."""
    found = list(_block(block, say, own))
    block.clear()
    return found


def _end(text: str, tag: str, start: int) -> int:
    """Return the place behind an element's end."""
    depth = 1
    for hit in re.finditer(rf"<(/?){re.escape(tag)}\b(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", text[start:], re.IGNORECASE):
        depth += -1 if hit[1] else 0 if hit[0].endswith("/>") else 1
        if depth == 0:
            return start + hit.end()
    return len(text)


def _attributes(tag: str, say: Say, own: Sequence[str]) -> str:
    """Translate what a tag says: names, titles, and the choices that a script offers."""

    def put(hit: re.Match[str]) -> str:
        return f'{hit[1]}="{_text(hit[2], say, own).replace(chr(34), "&quot;")}"'

    def choices(hit: re.Match[str]) -> str:
        about = json.loads(html.unescape(hit[1]))
        for each in about["choices"]:
            each["name"] = plain(each["name"], say, own)
            each["words"] = [plain(str(word), say, own) for word in each["words"]]
        return f'data-choices="{html.escape(json.dumps(about, ensure_ascii=False), quote=True)}"'

    return CHOICES.sub(choices, ATTRIBUTE.sub(put, tag)) if "=" in tag else tag


def _block(parts: Iterable[Part], say: Say, own: Sequence[str]) -> Iterable[str]:
    """Yield a block translated: as one message, or as several where a tag is opened elsewhere than it is closed."""
    run: list[Part] = []
    parts = list(parts)
    partner = _partners(parts)
    for place, part in enumerate(parts):
        if part.kind in ("open", "close") and place not in partner:
            yield _run(run, say, own)
            yield part.raw
            run = []
        else:
            run.append(part)
    yield _run(run, say, own)


def _partners(parts: Sequence[Part]) -> dict[int, int]:
    """Return the place of each tag's other half."""
    found: dict[int, int] = {}
    waiting: list[int] = []
    for place, part in enumerate(parts):
        if part.kind == "open":
            waiting.append(place)
        elif part.kind == "close" and waiting and parts[waiting[-1]].tag == part.tag:
            first = waiting.pop()
            found |= {first: place, place: first}
    return found


def _from(shift: int, key: str) -> str:
    """Return a message whose places count on from those before it."""
    return MARK.sub(lambda hit: f"{{{int(hit[1]) + shift}}}", key)


def _run(parts: list[Part], say: Say, own: Sequence[str]) -> str:
    """Translate one message with its markup; what only surrounds it stays outside."""
    if not any(part.kind == "text" and part.raw.strip() for part in parts):
        return "".join(part.raw for part in parts)
    partner = _partners(parts)
    first, last = parts[0], parts[-1]
    if (first.kind == "open" and partner.get(0) == len(parts) - 1) and len(parts) > 2:
        return first.raw + _run(parts[1:-1], say, own) + last.raw
    if first.kind in ("void",) or (first.kind == "text" and not first.raw.strip()):
        return first.raw + _run(parts[1:], say, own)
    if last.kind in ("void",) or (last.kind == "text" and not last.raw.strip()):
        return _run(parts[:-1], say, own) + last.raw
    keys: list[str] = []
    values: list[str] = []
    tags: list[tuple[str, str]] = []
    number: dict[int, int] = {}
    for place, part in enumerate(parts):
        if part.kind == "text":
            key, found = message(ENTITY.sub(lambda hit: html.unescape(hit[0]), part.raw), own)
            keys.append(_from(len(values), key))
            values += found
        elif part.kind == "kept":
            values.append(part.raw)
            keys.append(f"{{{len(values)}}}")
        elif part.kind == "void":
            tags.append((part.raw, ""))
            keys.append(f"<{len(tags)}/>")
        elif part.kind == "open":
            number[place] = len(tags) + 1
            tags.append((part.raw, parts[partner[place]].raw))
            keys.append(f"<{len(tags)}>")
        else:
            keys.append(f"</{number[partner[place]]}>")
    whole = re.sub(r"[ \t\n\r]+", " ", "".join(keys))
    bare = whole.strip()
    if not LETTER.search(MARK.sub("", bare)):
        return "".join(part.raw for part in parts)
    blank = " " if whole[:1] == " " else "", " " if whole[-1:] == " " else ""
    return blank[0] + fill(say(bare), values, tags) + blank[1]
