"""What a chapter reads of its customer: fields, by name in its cells and from the customer, and parts of her plan.

A plan is made from nearly every field.  A chapter that shows a part of it does not rest on all of them, though, but on
that part: where another price leaves the recommendation as it was, what explains the recommendation stays too.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import sys
from collections.abc import Iterable
from typing import Any

from hopperbook import reads
from hopperbook.customer import FIELDS, Customer

#: Methods that look at all fields to find something computed before, or to copy; the field itself is not used.
_ONLY_CARRY = {"hash_func", "__hash__", "__eq__", "__copy__", "__deepcopy__", "model_copy"}
#: What a chapter's cells may not call where its parameters are to be told apart.
_SEES_ALL = {"globals", "locals", "vars", "eval", "exec", "dir", "get_ipython", "__dict__", "compile"}
#: What stands before the name of a plan's part.
PART = "plan."
_known = frozenset(FIELDS)


@functools.cache
def watch() -> None:
    """Begin to note which fields of customers are read, and which parts of the plan that is set apart."""
    from hopperbook.planner.choose import Plan

    parts = frozenset(each.name for each in dataclasses.fields(Plan)) - {"customer"}  # which notes for itself
    plain_customer, plain_plan = Customer.__getattribute__, Plan.__getattribute__

    def of_customer(self: Customer, name: str) -> Any:
        if name in _known:
            reads.note(name)
        elif name == "__pydantic_serializer__" or _all_of(name):
            for each in _known:
                reads.note(each)
        return plain_customer(self, name)

    def of_plan(self: Plan, name: str) -> Any:
        if (name in parts or _all_of(name)) and reads.is_apart(self):
            for each in (name,) if name in parts else parts:
                reads.note(PART + each)
        return plain_plan(self, name)

    Customer.__getattribute__ = of_customer  # type: ignore[method-assign, assignment]
    Plan.__getattribute__ = of_plan  # type: ignore[method-assign, assignment]
    reads.forget()


def _all_of(name: str) -> bool:
    """Return whether an attribute gives everything away, to one who uses it."""
    return name == "__dict__" and sys._getframe(2).f_code.co_name not in _ONLY_CARRY


def split(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the fields and the parts of the plan among what was read, each in order.

    Parameters
    ----------
    names : iterable of str
        As :mod:`hopperbook.reads` notes them.

    Returns
    -------
    tuple of list
        Fields; parts.

    Examples
    --------
    >>> split({"users", "model", "plan.training"})
    (['model', 'users'], ['training'])
    """
    found = sorted(names)
    parts = [name.removeprefix(PART) for name in found if name.startswith(PART)]
    return [name for name in found if not name.startswith(PART)], parts


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
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute | ast.Call)]
        allowed = {id(part) for node in nodes if _makes_customer(node) for part in ast.walk(node)}
        for node in nodes:
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
