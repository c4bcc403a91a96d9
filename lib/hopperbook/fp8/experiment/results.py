"""The stored results of the experiment: ``data/fp8/training.csv``, ``exponents.csv`` and ``training.yaml``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from hopperbook import facts

COMMAND = "python -m hopperbook.fp8.experiment"


def write(folder: Path, curves: list[dict[str, Any]], exponents: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Write the three files that :func:`stored` reads.

    Parameters
    ----------
    folder : Path
        Where they go; made if missing.
    curves : list of dict
        ``recipe seed step loss``.
    exponents : list of dict
        ``kind exponent share``.
    about : dict
        Command, text, sizes, final results.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder), [{"recipe": "a", "seed": 0, "step": 1, "loss": 2.0}], [], {"runs": [], "wide_runs": []})
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['exponents.csv', 'training.csv', 'training.yaml']
    """
    folder.mkdir(parents=True, exist_ok=True)
    wide = pd.DataFrame(curves).pivot_table(index=["recipe", "step"], columns="seed", values="loss", sort=False)
    wide.columns = [f"seed{c}" for c in wide.columns]
    for name, table in (("training", wide.reset_index()), ("exponents", pd.DataFrame(exponents))):
        body = table.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        (folder / f"{name}.csv").write_text(f"# {COMMAND}\n{body}")
    head = yaml.safe_dump({k: v for k, v in about.items() if not k.endswith("runs")}, sort_keys=False)
    for name in ("runs", "wide_runs"):
        head += f"{name}:\n" + "".join(f"- {json.dumps(row)}\n" for row in about[name])
    (folder / "training.yaml").write_text(f"# {COMMAND}\n{head}")


def stored() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read the stored experiment.

    Returns
    -------
    curves : DataFrame
        ``recipe step seed loss``, nats a character.
    finals : DataFrame
        ``recipe seed held_out`` and shares of casts clipped and zeroed by kind of tensor.
    exponents : DataFrame
        ``kind exponent share``.
    about : dict
        Command, text, sizes.

    Examples
    --------
    >>> curves, finals, _, about = stored()
    >>> about["command"]
    'python -m hopperbook.fp8.experiment'
    """
    folder = facts.DATA / "fp8"
    wide = pd.read_csv(folder / "training.csv", comment="#")
    curves = wide.melt(["recipe", "step"], var_name="seed", value_name="loss")
    curves["seed"] = curves.seed.str.removeprefix("seed").astype(int)
    about = yaml.safe_load((folder / "training.yaml").read_text())
    return curves, pd.DataFrame(about["runs"]), pd.read_csv(folder / "exponents.csv", comment="#"), about


def summary(finals: pd.DataFrame) -> pd.DataFrame:
    """Compare recipes over seeds, each seed with the same seed in BF16.

    Parameters
    ----------
    finals : DataFrame
        From :func:`stored`.

    Returns
    -------
    DataFrame
        One row a recipe: mean, least and greatest held-out loss; mean, least and greatest difference to BF16; shares.

    Examples
    --------
    >>> table = summary(stored()[1])
    >>> float(table[table.recipe == "BF16"].over_bf16.iloc[0])
    0.0
    """
    base = finals[finals.recipe == "BF16"].set_index("seed").held_out
    rows = finals.assign(over=finals.held_out - finals.seed.map(base))
    grouped = rows.groupby("recipe", sort=False)
    table = grouped.held_out.agg(["mean", "min", "max"]).rename(columns={"mean": "loss", "min": "low", "max": "high"})
    for column, how in (("over_bf16", "mean"), ("over_low", "min"), ("over_high", "max")):
        table[column] = getattr(grouped.over, how)()
    shares = [c for c in finals if c.endswith(("_clipped", "_zeroed"))]
    return table.join(grouped[shares].mean()).reset_index()
