"""Images beside the language model: GPUs that generate the busiest hour's, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopperbook import facts, images, units
from hopperbook.cost import billed
from hopperbook.customer import Customer
from hopperbook.planner.load import allowance
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import Tenure
from hopperbook.units import HOUR_S, MONTH_H


@dataclass(frozen=True)
class Pictures:
    """GPUs that generate images: part, how many, seconds of an image with their range, USD a month."""

    gpu: str
    gpus: int
    tenure: str
    seconds: float
    low_s: float
    high_s: float
    memory_bytes: float
    usd_low: float
    usd: float
    usd_high: float


def pictures(customer: Customer, ways: dict[str, list[Tenure]]) -> Pictures | None:
    r"""Choose the GPUs that generate the busiest hour's images at the least cost, nine times in ten in time.

    .. math:: g = \left\lceil \frac{N t}{3600\,a} \right\rceil

    with a the share of its capacity at which a fleet is sure to keep up, given the range of t.

    Parameters
    ----------
    customer : Customer
        Images of the busiest hour, model, size and steps.
    ways : dict
        Ways to have each part.

    Returns
    -------
    Pictures or None
        None where no images are asked for, or no part holds the model.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.tenure import tenures
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "images_per_hour": 2000, "image_steps": 28})
    >>> found = pictures(shop, {"H100 SXM": tenures(shop, "H100 SXM")})
    >>> found.gpus, round(found.seconds, 1)  # 2,000 x 4.3 s are 2.4 hours of a GPU
    (4, 4.3)
    """
    if not customer.images_per_hour:
        return None
    found = []
    for part, kinds in ways.items():
        gpu = facts.gpu(part)
        one = images.generate(
            customer.image_model, gpu, side_pixels=customer.image_side_pixels, steps=customer.image_steps
        )
        if one.memory_bytes > gpu.memory_bytes or not gpu.cuda:
            continue
        sure = allowance((one.low_s / one.seconds, one.high_s / one.seconds), SURE)
        gpus = int(np.ceil(customer.images_per_hour * one.seconds / HOUR_S / sure))
        for way in kinds:
            if gpus > customer.max_gpus or (way.limit and gpus > way.limit):
                continue
            paid = gpus if way.kind == "kept" else int(billed(np.array([gpus]), np.array([way.kind]))[0])
            usd = (MONTH_H * paid * end for end in (way.low, way.typical, way.high))
            found.append(Pictures(part, gpus, way.kind, one.seconds, one.low_s, one.high_s, one.memory_bytes, *usd))
    return min(found, key=lambda each: round(each.usd, 6)) if found else None


def words(found: Pictures, customer: Customer) -> str:
    """Say which GPUs generate the images, and how long one takes.

    Parameters
    ----------
    found : Pictures
        From :func:`pictures`.
    customer : Customer
        What is generated.

    Returns
    -------
    str
        A phrase.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> words(Pictures("L40S", 2, "reserved", 11.7, 10.6, 18.8, 36e9, 700.0, 900.0, 1100.0), default())
    '2 × L40S, reserved: 12 s an image of FLUX.1 dev (11 to 19 s by a wide estimate), $900'
    """
    seconds, low, high = (units.fixed(x, 0 if x >= 10 else 1) for x in (found.seconds, found.low_s, found.high_s))
    what = f"{found.gpus:,} × {found.gpu}, {found.tenure.replace('_', ' ')}"
    return (
        f"{what}: {seconds} s an image of {images.label(customer.image_model)} ({low} to {high} s by a wide estimate),"
        f" {units.money(found.usd)}"
    )
