"""What chapter 13 computes on its way: shares of the decision map, the worth of a newer part, the price of a card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hopperbook import evidence, facts, planner, serving, units
from hopperbook.customer import Customer
from hopperbook.models import load
from hopperbook.planner import Plan
from hopperbook.planner.borders import Border, Map, rented
from hopperbook.planner.tenure import market_price
from hopperbook.planner.upgrade import tokens_per_s_per_gpu
from hopperbook.studies import accuracy, beyond_aim
from hopperbook.studies.answer import HAD, capital, usd_per_hour

#: Models from small to large that a change of part is asked for.
LADDER = (
    "meta-llama/Llama-3.2-3B",
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen2.5-32B",
    "meta-llama/Llama-3.3-70B-Instruct",
)
#: Models and the cards of a replica on which forms of a part are compared.
REPLICAS = {"meta-llama/Llama-3.1-8B": 1, "Qwen/Qwen2.5-32B": 2, "meta-llama/Llama-3.3-70B-Instruct": 4}
#: What two judged rows share whose parts are compared.
SAME_RUN = ("model", "tp", "precision", "input_tokens", "output_tokens", "engine_version", "file")
#: By the rule a newer part wins at most this share of the loads with small models, and at least that with large ones.
RULE_SMALL, RULE_LARGE = 0.25, 0.5
OTHER_MARKET = {"other": "hyperscaler", "hyperscaler": "other"}


class Premium(NamedTuple):
    """How many times a newer part is worth, and costs to rent and to buy, what an older one does."""

    worth: float
    rent: float
    buy: float


def share_won(found: Map, part: str, from_billions: float = 0.0, below_billions: float = math.inf) -> float:
    """Return the share of the decision map that a part wins, of models of some sizes.

    Parameters
    ----------
    found : Map
        From :func:`hopperbook.planner.decision_map`.
    part : str
        Short name.
    from_billions, below_billions : float
        Parameters of the models, in billions: at least, and less than.

    Returns
    -------
    float
        Between 0 and 1; 0 where the map has no model of these sizes.

    Examples
    --------
    >>> import numpy as np
    >>> won, close = np.array([["H100", "H200"]]), np.array([["", ""]])
    >>> found = Map(np.array([8e9, 70e9]), np.array([1]), won, close, np.ones((1, 2)))
    >>> share_won(found, "H200"), share_won(found, "H200", from_billions=70)
    (0.5, 1.0)
    """
    billions = found.parameters / 1e9
    sizes = (billions >= from_billions) & (billions < below_billions)
    return float((found.winner[:, sizes] == part).mean()) if sizes.any() else 0.0


def cells_won(found: Map, part: str) -> int:
    """Count the loads of the decision map that a part wins.

    Parameters
    ----------
    found : Map
        From :func:`hopperbook.planner.decision_map`.
    part : str
        Short name.

    Returns
    -------
    int
        Cells.

    Examples
    --------
    >>> import numpy as np
    >>> won, close = np.array([["H100", "H200"]]), np.array([["", ""]])
    >>> found = Map(np.array([8e9, 70e9]), np.array([1]), won, close, np.ones((1, 2)))
    >>> cells_won(found, "H200")
    1
    """
    return int((found.winner == part).sum())


def border_words(border: Border) -> str:
    """Say where the recommendation changes, and where things stand.

    Parameters
    ----------
    border : Border
        A price, users or tokens.

    Returns
    -------
    str
        Both values with their unit.

    Examples
    --------
    >>> border_words(Border("users", 128, 211, "Another replica is needed."))
    'Users at 211 (now 128)'
    """
    form = units.money if border.what.startswith("price") else units.integer
    each = f" {border.each}" if border.each else ""
    return f"{capital(border.what)} at {form(border.at)}{each} (now {form(border.now)})"


def how_had(customer: Customer) -> str:
    """Say how the parts of the map are had: on demand where anything is.

    Parameters
    ----------
    customer : Customer
        Market and tenure.

    Returns
    -------
    str
        In words.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> how_had(default())
    'rented on demand'
    """
    return HAD[min(way.kind for way in rented(customer).values())]


def price_ratio(customer: Customer, new: str, old: str) -> float:
    """Say how many times as much an hour of one part costs as of another, on demand in the customer's market.

    Parameters
    ----------
    customer : Customer
        Her market.
    new, old : str
        Two parts.

    Returns
    -------
    float
        The ratio of their typical prices.

    Raises
    ------
    InputError
        If a price is not on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(price_ratio(default(), "H200 SXM", "H100 SXM"), 2)
    1.33
    """
    return market_price(customer, new).typical / market_price(customer, old).typical


def inference_gains(customer: Customer, parts: Sequence[str], models: Sequence[str] = LADDER) -> pd.DataFrame:
    r"""Compare the output of parts that serve models within the customer's targets, and what a token costs on each.

    .. math:: u = 10^6\, p / (3600\, r)

    Parameters
    ----------
    customer : Customer
        Lengths, targets, market.
    parts : sequence of str
        GPUs, the one that others are compared with first; p is its price of an hour.
    models : sequence of str
        What they serve.

    Returns
    -------
    DataFrame
        ``model gpu output_tokens_per_s usd_per_million gain``: the rate r of one GPU of the best replica; NaN where
        none keeps the targets or no price is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = inference_gains(default(), ["A100 SXM 80GB", "H100 SXM"], ["meta-llama/Llama-3.1-8B"])
    >>> found.gain.round(1).tolist()
    [1.0, 2.5]
    """
    lines = []
    for model in models:
        rates = [tokens_per_s_per_gpu(customer, part, model) for part in parts]
        for part, rate in zip(parts, rates, strict=True):
            usd = 1e6 * usd_per_hour(part, customer) / units.HOUR_S / rate if rate else math.nan
            lines.append((model, part, rate, usd, rate / rates[0] if rates[0] else math.nan))
    return pd.DataFrame(lines, columns=["model", "gpu", "output_tokens_per_s", "usd_per_million", "gain"])


def premium(customer: Customer, new: str, old: str) -> Premium:
    """Compare what a newer part serves of the customer's load with what it costs more.

    Parameters
    ----------
    customer : Customer
        Model, lengths, targets, market.
    new, old : str
        Two parts that servers are sold with.

    Returns
    -------
    Premium
        Ratios; ``worth`` is NaN where the older part keeps no target.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [round(ratio, 2) for ratio in premium(default(), "H200 SXM", "H100 SXM")]
    [1.17, 1.33, 1.09]
    """
    mine, base = tokens_per_s_per_gpu(customer, new), tokens_per_s_per_gpu(customer, old)
    servers = [facts.purchase(str(facts.gpu(part).server)).typical for part in (new, old)]
    worth = mine / base if base else math.nan
    return Premium(worth, price_ratio(customer, new, old), servers[0] / servers[1])


def premium_words(found: Premium, new: str, old: str) -> str:
    """Say which of two parts is the better rent and the better purchase, where the load fills every GPU.

    Parameters
    ----------
    found : Premium
        From :func:`premium`.
    new, old : str
        Short names.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> premium_words(Premium(1.2, 1.3, 1.1), "H200", "H100")
    'So on GPUs that are full the H100 is the better rent, and the H200 the better purchase.'
    """
    rent, buy = (new if found.worth > asked else old for asked in (found.rent, found.buy))
    better = "the better choice" if rent == buy else f"the better rent, and the {buy} the better purchase"
    return f"So on GPUs that are full the {rent} is {better}."


def whole_fleets(plan: Plan, *parts: str) -> str:
    """Say what whole fleets of some parts cost that carry the load, each had in its cheapest way.

    Parameters
    ----------
    plan : Plan
        The plan, which decides by these.
    *parts : str
        GPUs.

    Returns
    -------
    str
        A sentence that follows another; empty where a part does not keep the targets.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> whole_fleets(planner.plan(default()), "H100 SXM", "H200 SXM")[:56]
    ' Your load needs 8 × H100 SXM, bought, at $9,620 a month'
    """
    rows = [plan.by_part.get(part) for part in parts]
    said = [f"{r.gpus} × {r.gpu}, {HAD[r.tenure]}, at {units.money(r.usd)} a month" for r in rows if r is not None]
    return f" Your load needs {', or '.join(said)}." if len(said) == len(parts) else ""


def forms(part: str) -> tuple[str, ...]:
    """Name the planned forms of a part: on a board of eight, and on cards.

    Parameters
    ----------
    part : str
        A GPU.

    Returns
    -------
    tuple of str
        Parts of its short name, in the order of ``data/gpus.yaml``.

    Examples
    --------
    >>> forms("H100 SXM")
    ('H100 SXM', 'H100 PCIe', 'H100 NVL')
    """
    return tuple(name for name in facts.planned() if facts.gpu(name).short == facts.gpu(part).short)


def on_a_card(part: str) -> str:
    """Name the first form of a part that is a PCIe card.

    Parameters
    ----------
    part : str
        A GPU.

    Returns
    -------
    str
        The card; the part itself where it comes on none.

    Examples
    --------
    >>> on_a_card("H100 SXM")
    'H100 PCIe'
    """
    return next((name for name in forms(part) if facts.gpu(name).form == "PCIe"), part)


def form_factors(customer: Customer, part: str, users: int = 16) -> pd.DataFrame:
    """Time the customer's lengths on every form of a part, in FP8, on one card, two and four.

    Parameters
    ----------
    customer : Customer
        Lengths.
    part : str
        The form that others are compared with.
    users : int
        Sequences of a replica.

    Returns
    -------
    DataFrame
        ``model tp gpu tpot_s ttft_s ratio``, the last of times per token.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = form_factors(default(), "H100 SXM")
    >>> found[found.gpu == "H100 PCIe"].ratio.round(1).tolist()
    [1.6, 1.5, 2.2]
    """
    lines = []
    lengths = serving.Lengths(customer.prompt_tokens, customer.output_tokens)
    for model, cards in REPLICAS.items():
        for name in forms(part):
            replica = serving.deploy(load(model), name, tp=cards, precision="fp8", kv_precision="fp8")
            seen = serving.answer(replica, serving.Demand(lengths, users=users))
            lines.append((model, cards, name, seen.tpot.mean, seen.ttft.mean))
    found = pd.DataFrame(lines, columns=["model", "tp", "gpu", "tpot_s", "ttft_s"])
    base = found[found.gpu == part].set_index("model").tpot_s
    return found.assign(ratio=found.tpot_s / found.model.map(base))


def rule_words(share_small: float, share_large: float) -> str:
    """Say whether the rule holds that small models need no newer part and large ones do.

    Parameters
    ----------
    share_small, share_large : float
        Shares of the loads with small and with large models in which the newer part costs least.

    Returns
    -------
    str
        Words after the rule.

    Examples
    --------
    >>> rule_words(0.02, 0.9), rule_words(0.02, 0.18)
    ('It **holds** for your loads', 'It **holds for small models and fails for large ones**')
    """
    small, large = share_small <= RULE_SMALL, share_large >= RULE_LARGE
    if small and large:
        return "It **holds** for your loads"
    if small or large:
        good, bad = ("small models", "large ones") if small else ("large models", "small ones")
        return f"It **holds for {good} and fails for {bad}**"
    return "It **fails** for your loads"


def judged_ratio(new: str, old: str) -> pd.DataFrame:
    """Compare measured with predicted ratios of two parts: published offline runs equal in all but the part.

    Parameters
    ----------
    new, old : str
        Short names.

    Returns
    -------
    DataFrame
        ``measured predicted gpu error``, one line a pair of runs that nothing was fitted to, marked as
        :func:`hopperbook.studies.beyond_aim.pairs` does by model and engine.

    Examples
    --------
    >>> found = judged_ratio("H200", "H100")
    >>> round(float(found.measured.median()), 1), sorted(set(found.lot[found.beyond_aim]))[-1]
    (1.2, 'Qwen3 235B A22B FP8, H200 over H100, TensorRT-LLM 1.0')
    """
    runs = evidence.judged("serving", "output_tokens_per_s")
    same = [column for column in SAME_RUN if column in runs]
    pairs = runs[runs.gpu.str.startswith(new)].merge(runs[runs.gpu.str.startswith(old)], on=same, suffixes=("", "_b"))
    measured, predicted = pairs.measured / pairs.measured_b, pairs.predicted / pairs.predicted_b
    found = pd.DataFrame({"measured": measured, "predicted": predicted, "gpu": new, "error": predicted / measured - 1})
    return beyond_aim.pairs(found, accuracy.serving_groups(pairs.assign(chip=f"{new} over {old}")))


def other_market_map(customer: Customer) -> Map:
    """Work out the decision map at the prices of the market that the customer does not rent in.

    Parameters
    ----------
    customer : Customer
        Whose loads and targets count.

    Returns
    -------
    Map
        As :func:`hopperbook.planner.decision_map`.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> cells_won(other_market_map(default()), "H200")
    43
    """
    return planner.decision_map(customer.model_copy(update={"market": OTHER_MARKET[customer.market]}))
