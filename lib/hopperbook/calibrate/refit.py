"""Fitting the few named constants, on rows marked ``fit``, and the intervals, from residuals.

``hopperbook calibrate serving`` refits the engines' records, ``interconnect`` the fabrics, ``intervals`` the 80 %
factors, ``parts`` those of parts that another's kernels time, ``draw`` the requests that answers are read from; each
prints what it found beside what is stored.  Nothing is fitted on a row marked ``judge``.
"""

from __future__ import annotations

from hopperbook.calibrate.draw import fit_draw
from hopperbook.calibrate.intervals import fit_intervals
from hopperbook.calibrate.parts import fit_parts
from hopperbook.calibrate.serving import FABRICS, STAGES, fit_engine, fit_fabric, write_record, yaml_number
from hopperbook.errors import InputError
from hopperbook.evidence import measurements


def run(what: str = "all") -> None:
    """Fit what is asked, store it in ``data/`` and print it.

    Parameters
    ----------
    what : str
        ``serving``, ``interconnect``, ``training``, ``intervals``, ``parts``, ``draw`` or ``all``.

    Raises
    ------
    InputError
        If it is none of these.
    """
    choices = ("serving", "interconnect", "training", "intervals", "parts", "draw", "all")
    if what not in choices:
        raise InputError("what", what, "one of " + ", ".join(choices), choices)
    if what in ("draw", "all"):
        fit_draw()
    if what in ("serving", "all"):
        for name, file, steps in STAGES:
            found, errors = fit_engine(name, steps, measurements(file, "fit"))
            write_record("serving.yaml", name, found)
            print(name, {k: yaml_number(v) for k, v in found.items()}, {k: round(v, 4) for k, v in errors.items()})
    if what in ("interconnect", "all"):
        rows = measurements("nccl_multinode", "fit")
        for name, text in FABRICS.items():
            chosen = rows[
                rows["fabric"].str.contains(text, regex=False) & (rows["nodes"] != "1") & (rows["time_us"] != "")
            ]
            chosen = chosen[~chosen["fabric"].str.contains("TCP")]
            values, error = fit_fabric(name, chosen)
            write_record("interconnect.yaml", name, values)
            print(name, {k: yaml_number(v) for k, v in values.items()}, round(error, 4))
    if what in ("training", "all"):
        from hopperbook.calibrate import training

        training.run()
    if what in ("intervals", "all"):
        fit_intervals()
    if what in ("parts", "all"):
        fit_parts()
