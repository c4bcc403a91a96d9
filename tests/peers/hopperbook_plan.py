"""Ours: a whole plan, serving and training over every part, for one customer's file."""

from __future__ import annotations

from typing import Any

from protocol import answer

from hopperbook import customer, facts, planner


def ask(question: dict[str, Any]) -> dict[str, float]:
    """Plan, and say how many configurations were timed."""
    who = customer.load(facts.DATA / "customers" / question["customer"])
    return {"configurations": planner.plan(who).considered}


if __name__ == "__main__":
    answer(ask)
