"""Find results typed into prose: a number in a chapter's words must be computed, or it is wrong for the next reader.

``python -m hopperbook.report.prose chapters/*.ipynb`` prints each number that looks like a result.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# What may stand as it is: names, definitions, and numbers of chapters, questions and years.
NAMES = (
    r"\b(?:RTX )?[ABHLVTP]\d{1,3}0?0?\b|\bGB?H?200\b|\bDGX ?\w*\b|\bHGX\b",  # A100, H100, B200, GH200
    r"\bFP(?:64|32|16|8|4)\b|\bBF16\b|\bTF32\b|\bINT(?:8|4)\b|\bE[45]M[23]\b|\bMXFP\d\b|\bNF4\b",
    r"\b(?:NVLink|PCIe|CUDA|SM|cuDNN|NCCL|ZeRO|HBM|NDR|HDR|EDR|Gen|gen|Ampere|Hopper)[- ]?\d+(?:\.\d+)?[a-z]?\b",
    r"\bHBM\d?e?\b|\bHBM[23]e?\b|\bL[12]\b|\bsm_\d+\w?\b",
    r"\b(?:Llama|Qwen|Mistral|Mixtral|Gemma|DeepSeek|GPT|gpt|Phi|Falcon|MPT|Bloom|OPT)[- ]?[\w.]*"
    r"(?: ?\d+(?:\.\d+)?[BbMmTt]\b)?(?:-\w+)*",
    r"\b\d+(?:\.\d+)?[BM]\b",  # sizes in a model's name: 70B
    r"\b[1-7]g\.\d+gb\b|\b[1-7]g\b",  # MIG profiles
    r"\b(?:TensorRT-LLM|vLLM|SGLang|NeMo|Megatron(?:-LM)?|PyTorch|Transformer Engine) v?\d+(?:\.\d+)*\b",
    r"\b[CQ]\d{1,2}\b",  # claims and questions
    r"\b(?:[Cc]hapter|[Ss]cenario|[Ff]igure|[Tt]able|[Pp]art|[Ss]tep|[Ee]quation|[Vv]ersion|[Qq]uestion) \d+\b",
    r"\b(?:19|20)\d{2}\b(?:-\d{2}(?:-\d{2})?)?",  # years and dates
    r"\b80[\s\u00a0\u202f]?%",  # the interval's nominal coverage
    r"\b(?:8|16|32|64)[- ]bits?\b|\b2\*\*\d+\b",
    r"\bApache[- ]2\.0\b|\bCC BY(?:-SA)? \d\.\d\b|\bBSD-\d\b",  # licences
    r"\b(?:[Cc]ompute capability|built for|builds for) \d+\.\d\b|\b\d+-point\b",
    r"\bISO[- ]?\d+\b|\bMLPerf v?\d+(?:\.\d+)?\b|\b10 GbE\b|\b\d+ GbE\b",
)
SKIP = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\{[a-z]+\}`[^`]*`|\]\([^)]*\)|<[^>]*>|https?://\S+"
    r"|^\s*\d+[.)] |^#+ \d+\. |\^\d+|\*\*\d+\.\*\*|\{\{?[^}]*\}?\}",
    re.S | re.M,
)
NUMBER = re.compile(r"(?<![\w.])[$€]?\d[\d,]*(?:\.\d+)?(?:[\s\u00a0\u202f]?(?:%|[A-Za-zµ/]+))?")
SMALL = {"0", "1", "2"}


def typed_numbers(text: str) -> list[str]:
    """Return the numbers in Markdown that look like results.

    Parameters
    ----------
    text : str
        Markdown. Code, mathematics, links, list numbers and names such as H100 are left out, and so are 0, 1 and 2.

    Returns
    -------
    list of str
        Each number with the word behind it.

    Examples
    --------
    >>> typed_numbers("The H100 in FP8 is 1.8 times as fast; chapter 3 says why, for 41 % less.")
    ['1.8 times', '41 %']
    >>> typed_numbers("Llama 3.3 70B fits in `80` on 2 cards; see $x = 5$.")
    []
    """
    plain = SKIP.sub(" ", text)
    for name in NAMES:
        plain = re.sub(name, " ", plain)
    found = (hit[0].strip().rstrip(",") for hit in NUMBER.finditer(plain))
    return [number for number in found if re.split(r"[\s\u00a0\u202f]", number)[0].strip("$€,.") not in SMALL]


def check_chapter(path: Path) -> list[str]:
    """Return what is typed into a chapter's Markdown cells and into its templates of prose.

    Parameters
    ----------
    path : Path
        A notebook.

    Returns
    -------
    list of str
        One line a cell: chapter, cell and the numbers.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for place, cell in enumerate(notebook["cells"], start=1):
        for text in _texts(cell):
            numbers = typed_numbers(text)
            if numbers:
                found.append(f"{path.stem}, cell {place}: typed into prose: {'; '.join(numbers)}")
    return found


def _texts(cell: dict) -> Iterator[str]:
    """Yield a cell's prose: a Markdown cell, or the strings that a code cell hands to display functions."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif cell["cell_type"] == "code":
        yield from _strings(source)


def _strings(source: str) -> Iterator[str]:
    """Yield the constant sentences inside calls of ``display.*``; the constant parts of an f-string count."""
    import ast

    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for call in ast.walk(tree):
        name = getattr(call.func, "attr", "") if isinstance(call, ast.Call) else ""
        owner = getattr(getattr(getattr(call, "func", None), "value", None), "id", "")
        if isinstance(call, ast.Call) and owner == "display" and name in PROSE:
            for argument in call.args[PROSE[name]] + [word.value for word in call.keywords if word.arg in WORDS]:
                yield from _constant(argument)


# The arguments that are prose. What an exercise asks may hold numbers of its own; its answer may not.
PROSE = {"text": slice(0, 1), "fold": slice(1, 2), "title": slice(0, 2), "answer": slice(0, 2)}
WORDS = {"title", "subtitle", "sentence", "verdict"}


def _constant(node: object) -> Iterator[str]:
    """Yield the constant words of an expression."""
    import ast

    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield " ".join(str(part.value) if isinstance(part, ast.Constant) else " x " for part in node.values)
    elif isinstance(node, ast.BinOp):
        yield from _constant(node.left)
        yield from _constant(node.right)


if __name__ == "__main__":
    problems = [problem for name in sys.argv[1:] for problem in check_chapter(Path(name))]
    print("\n".join(problems) or "no result is typed into prose")
    sys.exit(bool(problems))
