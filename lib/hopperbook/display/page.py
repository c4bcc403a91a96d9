"""The rest of a page: the executive title, notes, exercises, the command that reruns it, the footer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hopperbook.display.core import BOOK_MIME, FILE_MIME, block, build_command, escape, markdown, publish, show
from hopperbook.errors import InputError


def title(sentence: str, deck: str = "", /, **values: object) -> None:
    """Show the executive page's first line: what to buy or rent, how many, cost, for which load.

    It takes the place of the page's own heading, which stays in the contents list.

    Parameters
    ----------
    sentence : str
        The line, plain text.
    deck : str
        One or two sentences below it, Markdown with ``{name}`` fields.
    **values : str or int
        Text for the fields of ``deck``.

    Examples
    --------
    >>> title("Rent 8 × H100 SXM, $14,600 a month", "**{who}**: two replicas of four.", who="Lingua Shop")
    Rent 8 × H100 SXM, $14,600 a month
    **Lingua Shop**: two replicas of four.
    """
    html, plain = markdown(deck, values) if deck else ("", "")
    body = f'<p class="hb-h1" role="heading" aria-level="1">{escape(sentence)}</p><div class="hb-deck">{html}</div>'
    show(block("title", body), "\n".join(filter(None, (sentence, plain))))


def notes(items: Sequence[tuple[str, str]], heading: str = "Risks") -> None:
    """Show short notes, each with its lead word in bold: risks, limits, conditions.

    Parameters
    ----------
    items : sequence of tuple
        ``(lead, sentence)``, plain text.
    heading : str
        Heading of the block.

    Examples
    --------
    >>> notes([("Price.", "On demand, not reserved.")])
    Risks
    Price. On demand, not reserved.
    """
    body = "".join(f"<p><b>{escape(lead)}</b> {escape(sentence)}</p>" for lead, sentence in items)
    plain = "\n".join([heading, *(f"{lead} {sentence}" for lead, sentence in items)])
    show(block("notes", f'<p class="hb-title2">{escape(heading)}</p>{body}'), plain)


def fold(question: str, answer: str, /, **values: object) -> None:
    """Show an exercise with its computed answer folded away.

    Parameters
    ----------
    question, answer : str
        Markdown with ``{name}`` fields.
    **values : str or int
        Formatted text for the fields; it is escaped.

    Examples
    --------
    >>> fold("**1.** How many users fit at {fill}?", "{users} users.", fill="90 %", users=212)
    **1.** How many users fit at 90 %?
    Answer: 212 users.
    """
    asked, asked_plain = markdown(question, values)
    told, told_plain = markdown(answer, values)
    body = f'{asked}<details><summary>Answer</summary><div class="hb-told">{told}</div></details>'
    show(block("fold", body), f"{asked_plain}\nAnswer: {told_plain}")


def file(name: str, text: str, note: str) -> None:
    """Show a file folded away; the report carries it below ``deploy/``.

    Parameters
    ----------
    name : str
        Its name: letters, digits, dashes, dots.
    text : str
        What it holds.
    note : str
        What it is for, Markdown.

    Raises
    ------
    InputError
        If the name is none of a file.

    Examples
    --------
    >>> file("serve.sh", "exec vllm serve a\\n", "starts one replica")
    `deploy/serve.sh` starts one replica
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,60}", name):
        raise InputError("name", name, "letters, digits, dots and dashes")
    said, plain = markdown(f"`deploy/{name}` " + note, {})
    body = f"{said}<details><summary>Show the file</summary><pre>{escape(text)}</pre></details>"
    html = block("fold hb-file", body)
    publish({FILE_MIME: {"name": name, "text": text}, "text/html": html, "text/plain": plain})


def workbook(book: Mapping[str, Any], note: str) -> None:
    """Show a link to a workbook of spreadsheets; the report carries the file beside the page's data.

    Parameters
    ----------
    book : mapping
        Its name, and its sheets as plain values, of which the report makes the file.
    note : str
        What it holds, Markdown.

    Raises
    ------
    InputError
        If the name is none of a workbook.

    Examples
    --------
    >>> workbook({"name": "bill.xlsx", "sheets": []}, "holds the bill")
    `bill.xlsx` holds the bill
    """
    name = str(book["name"])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}\.xlsx", name):
        raise InputError("name", name, "letters, digits and dashes, then .xlsx")
    said, plain = markdown(f"`{name}` " + note, {})
    link = f'<p class="hb-links"><a href="data/{escape(name)}" download>{escape(name)}</a></p>'
    content = {"name": name, "sheets": json.dumps(book["sheets"], ensure_ascii=False, separators=(",", ":"))}
    publish({BOOK_MIME: content, "text/html": block("file", said + link), "text/plain": plain})


def rerun(file_name: str, settings: Mapping[str, object] | None = None) -> None:
    """Show the command that builds the report again; the page adds links to its data, notebook and next question.

    Parameters
    ----------
    file_name : str
        The customer's file, which the report hands out.
    settings : mapping, optional
        Fields to change, as the reader would type them.

    Examples
    --------
    >>> rerun("lingua-shop.yaml", {"kv_precision": "bf16"})
    hopperbook build --customer lingua-shop.yaml --set kv_precision=bf16
    """
    command = build_command(file_name, settings)
    body = f'<pre class="hb-command" tabindex="0">{escape(command)}</pre><div class="hb-links"><!--hb:links--></div>'
    show(block("rerun", body), command)


def stamp(facts: Mapping[str, str], note: str = "") -> None:
    """Show the footer: hash of the customer's file, version, date of prices, date of evidence.

    Parameters
    ----------
    facts : mapping of str to str
        Value by name.
    note : str
        A sentence below.

    Examples
    --------
    >>> stamp({"Version": "hopperbook 0.1.0", "Prices of": "2025-11-20"})
    Version hopperbook 0.1.0; Prices of 2025-11-20
    """
    items = "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in facts.items())
    plain = "; ".join(f"{name} {value}" for name, value in facts.items())
    body = f'<p class="hb-facts">{items}</p>' + (f"<p>{escape(note)}</p>" if note else "")
    show(block("stamp", body), "\n".join(filter(None, (plain, note))))
