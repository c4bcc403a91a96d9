"""The claims ledger: every claim decided by a calculator, with its figure and the border where it flips."""

from hopperbook.claims.ledger import VERDICTS, Finding, decide, ledger

__all__ = ["VERDICTS", "Finding", "decide", "ledger"]
