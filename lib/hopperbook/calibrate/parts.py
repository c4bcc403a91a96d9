"""The ranges of parts that another part's kernels time, from trials on measured parts."""

from __future__ import annotations

from collections.abc import Mapping

from hopperbook import evidence, facts
from hopperbook.evidence import stand_ins
from hopperbook.evidence.intervals import stand_in_factors

HEAD = """\
# How wrong a part is timed that has no kernels of its own: another part's are scaled by the ratio of rooflines (bytes
# by bandwidth, FLOPs by the dense peak of the format). Made by: hopperbook calibrate parts. Judged rows of measured
# parts are timed as if the part were new, by a part of the same compute capability and by one of another. factors: by
# how much both ends of the ranges of intervals.yaml must grow for four measurements in five to lie within them, in the
# worst trial, over own_factor, which is the same for its own kernels. Collectives, engines and frameworks keep their
# constants. No trial spans two generations, and none has a format that the stand-in lacks (FP8 by A100, FP4 by Hopper):
# those are said to have no rows.
"""


def _flow(values: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"


def fit_parts() -> dict[str, dict[str, float]]:
    """Run the trials, write ``data/stand_ins.yaml`` and print them.

    Returns
    -------
    dict
        Factors by nearness and quantity.
    """
    done = stand_ins.trials()
    factors = stand_ins.factors(done)
    lines = [f"  {near}: {_flow(known)}" for near, known in factors.items()]
    rows = [f"  - {_flow(trial._asdict())}" for trial in done]
    text = HEAD + "factors:\n" + "\n".join(sorted(lines)) + "\ntrials:\n" + "\n".join(rows) + "\n"
    (facts.DATA / "stand_ins.yaml").write_text(text)
    stand_in_factors.cache_clear()
    evidence.intervals.cache_clear()
    print(text)
    return factors
