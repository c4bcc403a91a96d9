"""Catalogues of words in gettext's format: written from reports, read for one in another language."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

from hopperbook.errors import InputError
from hopperbook.report import words

MOST_BYTES = 8_000_000
#: Stand for the letters of a language that nobody speaks: a page in it shows what was not translated.
PSEUDO = str.maketrans("aceinorsuyzACEINORSUYZ", "àçéîñöŕšüýžÀÇÉÎÑÖŔŠÜÝŽ")
PSEUDO_LANGUAGE = "en-XA"
#: What a translation keeps: places, tags, and signs that HTML writes in letters.
KEPT = re.compile(r"\{\d+\}|</?\d+/?>|&\w+;|&#\d+;")


class Catalogue:
    """The words of a language, and which messages were asked for that it lacks.

    Parameters
    ----------
    language : str
        Code of the language, as a page names it.
    known : dict of str
        Translation by message.
    """

    def __init__(self, language: str, known: dict[str, str]):
        self.language, self.known = language, known
        self.missing: dict[str, None] = {}
        self._said = {words.again(translation) for translation in known.values()}

    def say(self, message: str) -> str:
        """Return the translation of a message; itself where there is none, which counts unless it is a translation."""
        found = self.known.get(message)
        if found is None:
            if words.again(message) not in self._said:
                self.missing[message] = None
            return message
        return found


class Listener:
    """Notes every message that it is asked for, where it stands for the first time, and says it unchanged."""

    def __init__(self) -> None:
        self.heard: dict[str, str] = {}
        self.place = ""

    def say(self, message: str) -> str:
        """Note a message."""
        self.heard.setdefault(message, self.place)
        return message


def read(path: Path) -> Catalogue:
    """Read a catalogue.

    Parameters
    ----------
    path : Path
        A PO file whose header names its language.

    Returns
    -------
    Catalogue
        Its translations; those that are empty, fuzzy, or do not hold the places of their message are left out.

    Raises
    ------
    InputError
        If it is no catalogue, or names no language.
    """
    from babel.messages.pofile import PoFileError, read_po

    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            raise InputError("language", path.name, f"at most {MOST_BYTES:,} bytes")
        made = read_po(io.BytesIO(content), abort_invalid=True, ignore_obsolete=True)
    except (OSError, PoFileError, ValueError, LookupError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("language", path.name, "a gettext catalogue (PO) in UTF-8") from None
    language = str(made.locale_identifier or "").replace("_", "-")
    if not language:
        raise InputError("language", path.name, "a catalogue whose header names its language, such as Language: de")
    pairs = ((each.id, each.string) for each in made if each.id and each.string and not each.fuzzy)
    known = {a: b for a, b in pairs if isinstance(a, str) and isinstance(b, str) and words.fits(a, b)}
    return Catalogue(language, known)


def write(path: Path, messages: dict[str, str], language: str = "", pseudo: bool = False) -> None:
    """Write a catalogue for translators, or one in a made-up language that tests use.

    Parameters
    ----------
    path : Path
        A file that ends in ``.pot`` or ``.po``.
    messages : dict of str
        Place by message.
    language : str
        Code of the language; empty for a template.
    pseudo : bool
        True to fill in a translation that no reader can take for English.
    """
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import write_po

    made = Catalog(project="hopperbook", charset="utf-8", fuzzy=False, header_comment="# Words of a report.")
    for message, place in messages.items():
        made.add(message, pseudo_of(message) if pseudo else "", locations=[(place, 0)] if place else [])
    buffer = io.BytesIO()
    write_po(buffer, made, width=0, omit_header=True, include_lineno=False)
    head = f'# Words of a report.\nmsgid ""\nmsgstr ""\n"Language: {language}\\n"\n'
    head += '"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    head += '"Content-Transfer-Encoding: 8bit\\n"\n\n'
    path.write_text(head + buffer.getvalue().decode("utf-8"), encoding="utf-8")


def pseudo_of(message: str) -> str:
    """Return a message in a made-up language, its places and tags kept.

    Parameters
    ----------
    message : str
        A message.

    Returns
    -------
    str
        The same, in letters that English does not have, between brackets.

    Examples
    --------
    >>> pseudo_of("{1} users of <1>one</1> card &amp; more")
    '⟦{1} üšéŕš öf <1>öñé</1> çàŕd &amp; möŕé⟧'
    """
    done, place = [], 0
    for hit in KEPT.finditer(message):
        done += [message[place : hit.start()].translate(PSEUDO), hit[0]]
        place = hit.end()
    return f"⟦{''.join(done)}{message[place:].translate(PSEUDO)}⟧"


def left_english(messages: Iterable[str]) -> list[str]:
    """Return the messages of a page in the made-up language that are still English.

    Parameters
    ----------
    messages : iterable of str
        Messages as a page shows them.

    Returns
    -------
    list of str
        Those with a letter that the made-up language does not have.

    Examples
    --------
    >>> left_english(["⟦öñé ŠXM⟧", "{1} SXM"])
    ['{1} SXM']
    """
    letters = re.compile("[" + "".join(map(chr, PSEUDO)) + "]")
    return [each for each in messages if letters.search(KEPT.sub("", each))]
