"""Verdicts: the answer box, the executive cards and the bars that say what would flip the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hopperbook import units
from hopperbook.display.core import block, escape, show, split_unit
from hopperbook.display.doors import Door


@dataclass(frozen=True)
class Estimate:
    """A predicted quantity with its range, and the limit that it is held against.

    Parameters
    ----------
    label : str
        What it is, such as ``Time per token``.
    value, low, high : float
        Estimate and ends of the range, in base units; ``low`` and ``high`` may be None for an exact value.
    fmt : callable
        Formatter from ``hopperbook.units``: number to text with its unit.
    limit : float, optional
        Budget, target or capacity, in the same unit.
    limit_name : str
        Its name, such as ``target``.
    note : str
        One sentence of consequence.
    start, end : float
        Where the bar begins and ends; it ends by default beyond all it shows.
    coverage : float
        Share of cases that the range is meant to hold.
    door : Door, optional
        What stands behind the number; the page opens it by a click.

    Examples
    --------
    >>> each = Estimate("Monthly cost", 14_600, fmt=units.money, limit=18_000, limit_name="budget")
    >>> each.words()
    'Monthly cost $14,600 (budget $18,000)'
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    fmt: Callable[[float], str] = units.number
    limit: float | None = None
    limit_name: str = "limit"
    note: str = ""
    start: float = 0.0
    end: float | None = None
    coverage: float = 0.8
    door: Door | None = None

    def range_words(self) -> str:
        """Return the range in words, or nothing for an exact value."""
        if self.low is None or self.high is None:
            return ""
        return units.span(self.fmt(self.low), self.fmt(self.high))

    def words(self) -> str:
        """Return estimate, range and limit as one phrase."""
        parts = []
        if self.range_words():
            parts.append(f"{units.percent(self.coverage)} range {self.range_words()}")
        if self.limit is not None:
            parts.append(f"{self.limit_name} {self.fmt(self.limit)}")
        return f"{self.label} {self.fmt(self.value)}" + (f" ({'; '.join(parts)})" if parts else "")


def answer(
    verdict: str,
    sentence: str,
    headline: Estimate | None = None,
    changes: Sequence[str] = (),
    who: str = "you",
    doors: Mapping[str, Door] | None = None,
) -> None:
    """Show the answer box: verdict, one number with its range, and what would change it.

    Parameters
    ----------
    verdict : str
        A few words with a full stop, such as ``Yes, it fits.``
    sentence : str
        The reason, with its numbers already formatted. Plain text: it is escaped.
    headline : Estimate, optional
        The one number.
    changes : sequence of str
        What would change the verdict, one phrase each.
    who : str
        Whose answer it is; the customer's name.
    doors : mapping of str to Door, optional
        What stands behind the numbers of the answer, by each number in a few words; the page opens it by a click.

    Examples
    --------
    >>> answer("Yes, it fits.", "Four H100 hold it.", Estimate("Memory headroom", 0.41, 0.37, 0.44, units.percent),
    ...        changes=["prompts above 9,100 tokens"], who="Lingua Shop")
    Answer for Lingua Shop: Yes, it fits. Four H100 hold it.
    Memory headroom 41 % (80 % range 37 to 44 %)
    What would change it: prompts above 9,100 tokens
    """
    html = (
        f'<div><p class="hb-label">Answer for {escape(who)}</p><p class="hb-verdict">{escape(verdict)}</p>'
        f"<p>{escape(sentence)}</p></div>"
    )
    plain = f"Answer for {who}: {verdict} {sentence}"
    if headline is not None:
        html += f"<div>{_card(headline)}</div>"
        plain += f"\n{headline.words()}"
    if changes:
        items = "".join(f"<li>{escape(item)}</li>" for item in changes)
        html += f'<div><p class="hb-label">What would change it</p><ul>{items}</ul></div>'
        plain += f"\nWhat would change it: {'; '.join(changes)}"
    if doors:
        panels = "".join(door.html(name, shown=True) for name, door in doors.items())
        html += f'<div class="hb-doors"><p class="hb-label">Where the numbers come from</p>{panels}</div>'
        plain += "".join(f"\n{name}: {door.plain()}" for name, door in doors.items())
    show(block("answer", html), plain)


def cards(estimates: Sequence[Estimate]) -> None:
    """Show executive cards side by side, three at most in a row.

    Parameters
    ----------
    estimates : sequence of Estimate
        One card each: number, range, bar with dot and limit, a sentence of consequence.

    Examples
    --------
    >>> cards([Estimate("Monthly cost", 14_600, 11_900, 18_400, units.money, limit=18_000, limit_name="budget",
    ...                 note="The top of the range is above the budget.")])
    Monthly cost $14,600 (80 % range $11,900 to $18,400; budget $18,000). The top of the range is above the budget.
    """
    html = "".join(f'<div class="hb-card">{_card(each)}</div>' for each in estimates)
    plain = "\n".join(each.words() + (f". {each.note}" if each.note else "") for each in estimates)
    show(block("cards", html), plain)


def _card(estimate: Estimate) -> str:
    """Return the inside of a card: label, number, range, bar, note."""
    number, unit = split_unit(estimate.fmt(estimate.value))
    html = f'<p class="hb-label">{escape(estimate.label)}</p><p class="hb-number">{escape(number)}'
    html += f' <span class="hb-unit">{escape(unit)}</span></p>' if unit else "</p>"
    if estimate.range_words():
        coverage = escape(units.percent(estimate.coverage))
        html += f'<p class="hb-range">{coverage} range <b>{escape(estimate.range_words())}</b></p>'
    if estimate.range_words() or estimate.limit is not None:
        html += _estimate_bar(estimate)
    html += f'<p class="hb-note">{escape(estimate.note)}</p>' if estimate.note else ""
    return html + (estimate.door.html(estimate.label) if estimate.door else "")


def _estimate_bar(estimate: Estimate) -> str:
    """Return the bar of an estimate: track from its start, band, dot and limit tick with its name below."""
    known = [x for x in (estimate.value, estimate.low, estimate.high, estimate.limit) if x is not None]
    bottom, top = min(estimate.start, *known), max(known)
    end = bottom + 1.2 * (top - bottom) if top > bottom else bottom + 1.0
    end = end if estimate.end is None else max(estimate.end, top)
    at = _scale(bottom, end)
    band = None if estimate.low is None or estimate.high is None else (at(estimate.low), at(estimate.high))
    tick = None if estimate.limit is None else at(estimate.limit)
    labels = "" if tick is None else _tick_label(tick, f"{estimate.limit_name} {estimate.fmt(estimate.limit or 0.0)}")
    if tick is None or tick > 45:
        zero = "0" if bottom == 0 else estimate.fmt(bottom)
        labels = f'<span class="hb-start">{escape(zero)}</span>' + labels
    return _bar(at(estimate.value), band, tick) + f'<div class="hb-ticks">{labels}</div>'


def _scale(start: float, end: float) -> Callable[[float], float]:
    """Return the function from a value to its place on a bar in per cent."""
    return lambda value: min(100.0, max(0.0, 100.0 * (value - start) / (end - start)))


def _bar(dot: float, band: tuple[float, float] | None, tick: float | None) -> str:
    """Return track, band, dot and tick at places in per cent; for the eye only, the words stand beside it."""
    html = '<span class="hb-track"></span>'
    if band is not None:
        html += f'<span class="hb-band" style="left:{band[0]:.1f}%;width:{max(band[1] - band[0], 0.6):.1f}%"></span>'
    if tick is not None:
        html += f'<span class="hb-tick" style="left:{tick:.1f}%"></span>'
    return f'<div class="hb-bar" aria-hidden="true">{html}<span class="hb-dot" style="left:{dot:.1f}%"></span></div>'


def _tick_label(tick: float, words: str) -> str:
    """Return a tick's label, grown away from the nearer edge."""
    side = f"right:{100 - tick:.1f}%" if tick > 45 else f"left:{tick:.1f}%"
    return f'<span class="hb-limit" style="{side}">{escape(words)}</span>'


@dataclass(frozen=True)
class Flip:
    """A fact that would flip the answer: where it is now and where the answer changes.

    Parameters
    ----------
    label : str
        The change in words, with its number, such as ``Prompts above 9,100 tokens``.
    now, at : float
        The present value and the value at which the answer changes.
    fmt : callable
        Formatter from ``hopperbook.units`` for the present value.
    note : str
        What the answer would be then.
    start, end : float, optional
        Ends of the track; by default it holds both values with room.
    """

    label: str
    now: float
    at: float
    fmt: Callable[[float], str] = units.number
    note: str = ""
    start: float | None = None
    end: float | None = None


def flips(facts: Sequence[Flip], title: str = "What would flip the answer") -> None:
    """Show the facts that would flip the answer as bars: dot now, tick where it changes, the way between.

    Parameters
    ----------
    facts : sequence of Flip
        The nearest first.
    title : str
        Heading of the block.

    Examples
    --------
    >>> flips([Flip("Prompts above 9,100 tokens", 4096, 9100, units.tokens, "The cache outgrows 80 GB cards.")])
    What would flip the answer
    Prompts above 9,100 tokens (now 4,096): The cache outgrows 80 GB cards.
    """
    html, lines = f'<p class="hb-title2">{escape(title)}</p>', [title]
    for fact in facts:
        low, high = min(fact.now, fact.at), max(fact.now, fact.at)
        start = fact.start if fact.start is not None else min(0.0, low)
        end = fact.end if fact.end is not None else start + 1.4 * (high - start or 1.0)
        at = _scale(start, end)
        html += (
            f'<p class="hb-flip"><b>{escape(fact.label)}</b> <span>(now {escape(fact.fmt(fact.now))})</span></p>'
            f'{_bar(at(fact.now), (at(low), at(high)), at(fact.at))}<p class="hb-note">{escape(fact.note)}</p>'
        )
        lines.append(f"{fact.label} (now {fact.fmt(fact.now)})" + (f": {fact.note}" if fact.note else ""))
    show(block("flips", html), "\n".join(lines))
