"""The parts that a plan chooses from."""

from __future__ import annotations

from hopperbook import facts
from hopperbook.customer import Customer


def standing_parts(customer: Customer) -> tuple[str, ...]:
    """Return the parts that a plan chooses from: those she names, else the book's; and always what she owns.

    Parameters
    ----------
    customer : Customer
        ``parts``, ``owned_gpu`` and ``owned_gpus``.

    Returns
    -------
    tuple of str
        Names, the owned part last where it is not among them anyway.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> base = {"name": "A", "model": "llama-3.1-8b", "owned_gpu": "L40S", "owned_gpus": 4}
    >>> standing_parts(check(base | {"parts": "B200, h200"})), len(standing_parts(check(base)))
    (('B200 SXM', 'H200 SXM', 'L40S'), 8)
    """
    owned = (facts.gpu(customer.owned_gpu).name,) if customer.owned_gpu and customer.owned_gpus else ()
    return tuple(dict.fromkeys((*(customer.part_names or facts.planned()), *owned)))
