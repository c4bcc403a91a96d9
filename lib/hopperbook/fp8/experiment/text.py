"""The text that the models learn: SciPy's documentation of its special functions, one file of the package."""

from __future__ import annotations

import hashlib
import importlib.resources

import numpy as np

Array = np.ndarray
#: The same bytes for every Python; another SciPy may bring another text, which the stored digest shows.
PACKAGE, FILE = "scipy.special", "_add_newdocs.py"
SOURCE = f"{FILE} of {PACKAGE}, of the SciPy in requirements.lock"


def read(characters: int) -> str:
    """Return the start of the text.

    Parameters
    ----------
    characters : int
        Length of the prefix.

    Returns
    -------
    str
        Documentation in the order of the file.

    Examples
    --------
    >>> read(40)
    '# Docstrings for generated ufuncs\\n#\\n# Th'
    """
    return importlib.resources.files(PACKAGE).joinpath(FILE).read_text(encoding="utf-8")[:characters]


def encode(characters: int) -> tuple[Array, int, str]:
    """Number the characters of the text.

    Parameters
    ----------
    characters : int
        Length of the prefix.

    Returns
    -------
    codes : ndarray of int
        One number a character.
    vocabulary : int
        Distinct characters.
    digest : str
        SHA-256 of the prefix.

    Examples
    --------
    >>> codes, vocabulary, _ = encode(1000)
    >>> len(codes), int(codes.max()) + 1 == vocabulary
    (1000, True)
    """
    words = read(characters)
    letters = sorted(set(words))
    place = {letter: i for i, letter in enumerate(letters)}
    return np.array([place[c] for c in words]), len(letters), hashlib.sha256(words.encode()).hexdigest()
