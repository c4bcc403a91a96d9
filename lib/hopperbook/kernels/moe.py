"""Seconds of the routed experts of one layer."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.engines import ENGINES, FOUR_BITS, as_gpu, engine_name, multiplies_fp4, table_names
from hopperbook.kernels.tables import Times, grids, scaled

#: No table holds experts in INT8: they are taken as stored in eight bits and multiplied in sixteen.
_EXPERTS_AS = {"int8": "int8_wo"}


@cache
def _moe_key(
    engine: str,
    stand_in: str,
    precision: str,
    hidden: int,
    ffn: int,
    top_k: int,
    experts: int,
    tp: int,
    ep: int,
    load_: str,
) -> tuple[str, tuple[Any, ...], bool]:
    """Pick the grid nearest to a layer of experts: (engine, key, exact)."""
    found = []
    asked = (hidden, ffn, top_k, experts, tp, ep)
    for rank, table in enumerate((engine, *(e for e in ENGINES if e != engine))):
        for key in grids(table, "moe", stand_in):
            if key[0] not in table_names(precision):
                continue
            distance = sum(
                w * abs(math.log(a / b)) for w, a, b in zip((1, 1, 2, 1, 1, 1), asked, key[1:7], strict=True)
            )
            distance += 3.0 * table_names(precision).index(key[0]) + (0 if key[7] == load_ else 0.1) + 5.0 * rank
            found.append((distance, table, key))
    if not found:
        raise InputError("moe_precision", precision, f"a precision of experts measured on {stand_in}")
    distance, table, key = min(found, key=lambda f: f[0])
    return table, key, distance < 1e-9


def moe_s(
    gpu: str | facts.GPU,
    precision: str,
    tokens: ArrayLike,
    hidden: int,
    ffn: int,
    experts: int,
    experts_per_token: int,
    tp: int = 1,
    ep: int = 1,
    engine: str = "vllm",
    load_shape: str = "power_law_1.2",
) -> Times:
    r"""Time the routed experts of one layer on one rank.

    .. math:: t = \left(\frac{3 V h f w / tp}{0.75 B} + \frac{6\, r\, h f / tp}{0.6 P} + t_0\right) e^{r(\log n)},
              \quad V = \frac{E}{ep}\left(1 - (1 - k/E)^n\right)

    Parameters
    ----------
    gpu : str or GPU
        The part.
    precision : str
        Format of the experts.
    tokens : int or array
        Tokens of the whole group before routing.
    hidden, ffn, experts, experts_per_token : int
        The layer.
    tp, ep : int
        How each expert is cut, and how experts are spread.
    engine : str
        ``"vllm"`` or ``"trtllm"``.
    load_shape : str
        How evenly experts are visited: ``power_law_1.2``, ``power_law_1.01`` or ``balanced``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table (another shape's residual serves).

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = moe_s("H200 SXM", "bf16", 64, 4096, 1536, 128, 8)
    >>> round(1e3 * float(t.seconds), 2)  # milliseconds; 4.8 GB of visited experts over 4.8 TB/s: 0.99
    1.02
    >>> bool(t.beyond)
    False
    """
    part, engine = as_gpu(gpu), engine_name(engine)
    precision = _EXPERTS_AS.get(precision, precision)
    in_four_bits = FOUR_BITS[precision] if multiplies_fp4(part, precision) else ""
    precision = "fp8_block" if in_four_bits else precision
    table, key, exact = _moe_key(
        engine, part.kernels_of, precision, hidden, ffn, experts_per_token, experts, tp, ep, load_shape
    )
    names = ("hidden", "ffn", "top_k", "experts", "tp", "ep")
    instead: dict[str, Any] = (
        {} if exact else dict(zip(names, (hidden, ffn, experts_per_token, experts, tp, ep), strict=True))
    )
    if key[0] != table_names(precision)[0]:
        instead["precision"] = table_names(precision)[0]  # another format's residual on this format's bytes
    if in_four_bits:
        instead["precision"] = in_four_bits
    return scaled(table, "moe", part, key, [tokens], **instead)
