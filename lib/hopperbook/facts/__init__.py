"""Facts: everything in ``data/`` as typed, sourced, dated records.

``gpu("H100 SXM")``, ``system("DGX H100")``, ``fabric("ndr")``, ``mig_profiles("H200 SXM")`` for parts;
``price("H100 SXM", "other", "on_demand")``, ``cost("pue")``, ``node_power("DGX H100")``, ``purchase("HGX H200")`` for
money and power as ranges; ``table("hpc")`` for any file as a data frame; ``as_json("gpus")`` for the command line.
"""

from hopperbook.facts.export import as_json
from hopperbook.facts.money import Currency, currency
from hopperbook.facts.parts import (
    GPU,
    Fabric,
    MigProfile,
    Style,
    System,
    drawn,
    fabric,
    fabrics,
    gpu,
    gpus,
    mig_profiles,
    planned,
    step_ups,
    system,
    systems,
)
from hopperbook.facts.prices import (
    FEW,
    MARKETS,
    TENURES,
    Price,
    Range,
    age_days,
    cost,
    finite,
    newest_price_date,
    node_power,
    price,
    price_summary,
    purchase,
    scaled,
    young_days,
)
from hopperbook.facts.tables import DATA, Term, glossary, read_yaml, records, references, table

__all__ = [
    "DATA",
    "FEW",
    "GPU",
    "MARKETS",
    "TENURES",
    "Currency",
    "Fabric",
    "MigProfile",
    "Price",
    "Range",
    "Style",
    "System",
    "Term",
    "age_days",
    "as_json",
    "cost",
    "currency",
    "drawn",
    "fabric",
    "fabrics",
    "finite",
    "glossary",
    "gpu",
    "gpus",
    "mig_profiles",
    "newest_price_date",
    "node_power",
    "planned",
    "price",
    "price_summary",
    "purchase",
    "read_yaml",
    "records",
    "references",
    "scaled",
    "step_ups",
    "system",
    "systems",
    "table",
    "young_days",
]
