"""Which of the customer's fields a chapter reads: by name in its cells, and from the customer made of them."""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections.abc import Iterable
from typing import Any

from hopperbook.customer import FIELDS, Customer

#: Methods that look at all fields to find something computed before, or to copy; the field itself is not used.
_ONLY_CARRY = {"hash_func", "__hash__", "__eq__", "__copy__", "__deepcopy__", "model_copy"}
#: What a chapter's cells may not call where its parameters are to be told apart.
_SEES_ALL = {"globals", "locals", "vars", "eval", "exec", "dir", "get_ipython", "__dict__", "compile"}
_read: set[str] = set()
_known = frozenset(FIELDS)


@functools.cache
def watch() -> None:
    """Begin to note which fields of customers are read; what was computed of customers before is forgotten."""
    plain = Customer.__getattribute__

    def noting(self: Customer, name: str) -> Any:
        if name in _known:
            _read.add(name)
        elif name == "__pydantic_serializer__" or (
            name == "__dict__" and sys._getframe(1).f_code.co_name not in _ONLY_CARRY
        ):
            _read.update(_known)
        return plain(self, name)

    Customer.__getattribute__ = noting  # type: ignore[method-assign, assignment]
    for each in gc.get_objects():
        ours = isinstance(each, functools._lru_cache_wrapper) and str(each.__module__).startswith("hopperbook.")
        if ours and each.__wrapped__ is not watch.__wrapped__:
            each.cache_clear()


def read() -> frozenset[str]:
    """Return the fields of any customer that this process read, or a process that it was forked from.

    Returns
    -------
    frozenset of str
        Names.
    """
    return frozenset(_read)


def named(sources: Iterable[str], parameters: Iterable[str]) -> frozenset[str]:
    """Return the parameters that cells read by their names; all of them where that cannot be told.

    Parameters
    ----------
    sources : iterable of str
        The cells behind the parameters cell.
    parameters : iterable of str
        Names that the parameters cell assigns.

    Returns
    -------
    frozenset of str
        Names.

    Examples
    --------
    >>> cells = ["customer = of(globals())", "print(users, customer.name)"]
    >>> sorted(named(cells, ["users", "name"]))
    ['users']
    >>> sorted(named(["print(globals())"], ["users", "name"]))
    ['name', 'users']
    """
    every = frozenset(parameters)
    found: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            return every
        allowed = {id(part) for node in ast.walk(tree) if _makes_customer(node) for part in ast.walk(node)}
        for node in ast.walk(tree):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if name in _SEES_ALL and id(node) not in allowed:
                return every
            if isinstance(node, ast.Name) and name in every and not isinstance(node.ctx, ast.Store):
                found.add(name)
    return frozenset(found)


def _makes_customer(node: ast.AST) -> bool:
    """Return whether a piece of code is ``of(globals())``."""
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == "of" and ast.unparse(node) == "of(globals())"
