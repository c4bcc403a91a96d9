"""The configuration of ``mig-parted`` that cuts the cards of the small services."""

from __future__ import annotations

from collections import Counter

import yaml

from hopperbook.planner.small import Small


def configuration(small: Small) -> str:
    """Write the slices of each card for ``nvidia-mig-parted apply``.

    Parameters
    ----------
    small : Small
        Where the small services run.

    Returns
    -------
    str
        YAML of format v1 (``mig-parted``); profiles are named as on whole cards, without a plus.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> print(configuration(plan(default()).small).splitlines()[0])
    version: v1
    """
    cards: dict[int, Counter[str]] = {}
    for placed in small.placements:
        cards.setdefault(placed.card, Counter())[placed.profile.name.split(" ")[-1]] += 1
    devices = [
        {"devices": [card], "mig-enabled": True, "mig-devices": dict(sorted(counts.items()))}
        for card, counts in sorted(cards.items())
    ]
    return yaml.safe_dump({"version": "v1", "mig-configs": {"small-services": devices}}, sort_keys=False)
