"""What customers may write: nonsense is refused in a sentence, hostile words stay words wherever they are shown."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import time
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.drills.drill import CUSTOMER, times
from tests.report import book

from hopperbook import customer as customers
from hopperbook import report
from hopperbook.errors import InputError
from hopperbook.report import batch, collect, index

PIECES = (
    "&a [*a,*a,*a,*a]",
    "<<: *a",
    "!!python/object/apply:os.system ['x']",
    "[[[[[[[[",
    "{" * 60,
    "1e400",
    "9" * 400,
    ".nan",
    "-.inf",
    "0x7fffffffffffffff",
    "012",
    "1:30",
    "1_000",
    "\u202e",
    "\u0000",
    "\ufeff",
    "\ud83d",
    "\u2028",
    "'",
    '"',
    "|",
    ">",
    "%YAML 9.9",
    "---",
    "...",
    "? ",
    "? [a]: b",
    "\t",
    "\r",
    "#",
    "yes",
    "null",
    "~",
    "2024-01-01",
    "- ",
    "@",
    "`",
)
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "{{ 7*7 }}",
    "{% raw %}",
    "{eval-rst}",
    "```{raw} html\n<b>x</b>\n```",
    "$\\href{javascript:alert(1)}{x}$",
    "\\(x\\)",
    "`{ref}`",
    "&lt;script&gt;",
    '"><b onclick=x>',
    "' onmouseover='x",
    "]]><script>x</script>",
    "<!--hb:chart 0-->",
    "<!--hb:links-->",
    "-->",
    "<style>*{}</style>",
    "%00",
    "\\u003cscript>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\u202eevil",
    "<iframe src=//evil.example>",
    "${jndi:x}",
    "<a href=//evil.example>x",
    "<base href=//evil.example>",
)


def test_mutated_files_are_taken_or_refused_in_a_sentence(tmp_path: Path) -> None:
    chance, text, path = random.Random(24), CUSTOMER.read_text(encoding="utf-8"), tmp_path / "c.yaml"
    taken = 0
    for _ in range(times(full=8000, short=120)):
        at, changed = chance.randrange(len(text)), text
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(changed) + 1)
            changed = changed[:at] + chance.choice(PIECES) + changed[at + chance.randint(0, 6) :]
        path.write_text(changed, encoding="utf-8", errors="surrogatepass")
        taken += loads(path)
    assert taken > 0


@settings(
    max_examples=times(full=2000, short=60), deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(
    st.dictionaries(
        st.sampled_from(customers.FIELDS), st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none())
    )
)
def test_any_values_are_taken_or_refused_in_a_sentence(tmp_path_factory, values) -> None:
    try:
        customers.check({"name": "A", "model": "llama-3.1-8b", **values})
    except InputError as error:
        assert len(str(error).splitlines()) == 1


def loads(path: Path) -> bool:
    """Return whether a file is taken; anything but a sentence, or more than two seconds, fails."""
    begun = time.monotonic()
    try:
        customers.load(path)
        return True
    except InputError as error:
        assert len(" ".join(str(error).split())) < 600
        return False
    finally:
        assert time.monotonic() - begun < 2.0


def hostile() -> list[str]:
    """Return a hundred hostile strings: those above, alone, doubled and run together."""
    pairs = [a + b for a, b in zip(HOSTILE, reversed(HOSTILE), strict=True)]
    return [*HOSTILE, *pairs, *(each.upper() for each in HOSTILE)][:100]


def test_hostile_words_stay_words_in_every_page_and_file(tmp_path: Path) -> None:
    chapters, words = book.write(tmp_path / "chapters"), hostile()
    assert len(words) == 100
    for each in ["\n".join(words), *words[: times(full=100, short=0)]]:
        fields = {"name": each, "users": 7, "confidentiality": each, "contact": each, "accent": "#0067b5"}
        report.build(fields, tmp_path / "report", chapters_dir=chapters)  # refuses unknown scripts
        for page in (tmp_path / "report").glob("*.html"):
            text = re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
            tags = re.findall(r"<[a-zA-Z!/][^>]*>", text)
            assert not [tag for tag in tags if "alert(" in tag.split(" title=")[0] and "aria-label" not in tag], (
                page.name
            )
            assert "evil.example/x.png" not in "".join(re.findall(r'src="[^"]*"', text))
            assert "<!--hb:" not in text
        assert "alert(1)" not in (tmp_path / "report" / "searchindex.js").read_text(encoding="utf-8").replace(
            "alert(1)&", ""
        )
        assert (
            json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))["parameters"]["name"] == each
        )


def test_hostile_words_stay_words_in_tables_and_the_index() -> None:
    rows = list(csv.reader(io.StringIO(collect.to_csv(["words"], [[each] for each in hostile()]))))
    assert not [row for row in rows if row[0][:1] in "=+@\t\r" or re.match(r"-\D", row[0])]
    about = [{"name": each, "gpu": each, "gpus": 8} for each in hostile()]
    made = [batch.Made("c.yaml", "a", "failed", each["name"], 1.0, each) for each in about]
    page = index.page(made)
    assert page.count("<script>") == 1 and page.count("<tr>") == 101
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    seen = Elements()
    seen.feed(body)
    assert seen.found == {("tbody", ""), ("tr", ""), ("td", "data-key"), ("a", "href")}


class Elements(HTMLParser):
    """The elements of a page, each with its attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.add((tag, " ".join(name for name, _ in attributes)))
