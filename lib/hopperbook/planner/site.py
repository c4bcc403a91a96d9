"""The customer's own site: what servers ask of it in power, cooling and racks, and how many it holds."""

from __future__ import annotations

import math
from typing import NamedTuple

from hopperbook import facts, units
from hopperbook.customer import Customer

#: Height of a server whose maker names none, rack units.
USUAL_UNITS = 8
#: No count hangs on the last bits of a division.
NEARLY = 1e-9


class Need(NamedTuple):
    """What servers ask of a site: power with cooling, kW; that of one server as rated, kW; racks; servers a rack."""

    kw: float
    server_kw: float
    racks: int
    a_rack: int


def _assumed(name: str) -> float:
    return float(facts.read_yaml("constants/planner.yaml")[name]["value"])


def server_kw(server: facts.System) -> float:
    """Return the power for which feeds and cooling of a server are sized: as rated, else the most that was measured.

    Parameters
    ----------
    server : System
        The server.

    Returns
    -------
    float
        kW, without cooling.

    Examples
    --------
    >>> server_kw(facts.system("HGX H100"))
    10.2
    """
    return (server.rated_power_w or facts.node_power(server.name).high) / 1e3


def pue(customer: Customer) -> float:
    """Return the power of the site over that of its machines: the customer's, else the middle of the surveys.

    Parameters
    ----------
    customer : Customer
        ``site_pue``.

    Returns
    -------
    float
        Ratio.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> pue(default()), pue(default().model_copy(update={"site_pue": 1.15}))
    (1.3, 1.15)
    """
    return customer.site_pue or facts.cost("pue").typical


def a_rack(customer: Customer, server: facts.System) -> int:
    r"""Return the servers that a rack holds: :math:`\min(\lfloor P_{rack}/P \rfloor, \lfloor U_{rack}/u \rfloor)`.

    Parameters
    ----------
    customer : Customer
        ``site_rack_kw``.
    server : System
        The server, of P kW and u units.

    Returns
    -------
    int
        Servers; 0 where one alone asks for more than a rack carries.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> a_rack(default(), facts.system("HGX H100"))  # 40 kW over 10.2 kW; 42 units over 8 would hold five
    3
    """
    by_power = (customer.site_rack_kw or _assumed("rack_kw")) / server_kw(server)
    by_height = _assumed("rack_units") / (server.rack_units or USUAL_UNITS)
    return math.floor(min(by_power, by_height) + NEARLY)


def need(customer: Customer, server: facts.System, count: int) -> Need:
    r"""Return what so many servers ask of the site: :math:`n P \, \mathrm{PUE}` and :math:`\lceil n / a \rceil` racks.

    Parameters
    ----------
    customer : Customer
        ``site_pue`` and ``site_rack_kw``.
    server : System
        The server.
    count : int
        Servers, n; a of them in a rack.

    Returns
    -------
    Need
        Power, racks.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> need(default(), facts.system("HGX H100"), 4)  # 4 x 10.2 x 1.3
    Need(kw=53.04, server_kw=10.2, racks=2, a_rack=3)
    """
    each, held = server_kw(server), a_rack(customer, server)
    return Need(round(count * each * pue(customer), 6), each, math.ceil(count / max(held, 1)), held)


def limits(customer: Customer, server: facts.System) -> dict[str, int]:
    """Return how many servers each limit that the customer states allows.

    Parameters
    ----------
    customer : Customer
        ``site_kw``, ``site_rack_kw``, ``site_racks``, ``site_pue``.
    server : System
        The server.

    Returns
    -------
    dict of int
        Servers by limit; empty where none is stated.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> limits(default().model_copy(update={"site_kw": 30.0, "site_racks": 1}), facts.system("HGX H100"))
    {'site_kw': 2, 'site_racks': 3}
    """
    one, found = need(customer, server, 1), {}
    if customer.site_kw:
        found["site_kw"] = math.floor(customer.site_kw / one.kw + NEARLY)
    if customer.site_rack_kw and not one.a_rack:
        found["site_rack_kw"] = 0
    if customer.site_racks:
        found["site_racks"] = customer.site_racks * max(one.a_rack, 1)
    return found


def most_servers(customer: Customer, server: facts.System) -> int | None:
    """Return how many servers the site holds.

    Parameters
    ----------
    customer : Customer
        Its site.
    server : System
        The server.

    Returns
    -------
    int or None
        Servers; None where no limit is stated.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> most_servers(default(), facts.system("HGX H100")) is None
    True
    """
    return min(limits(customer, server).values(), default=None)


def shortfall(customer: Customer, server: facts.System, count: int) -> tuple[str, str]:
    """Say which limit of the site so many servers break first, and what would hold them.

    Parameters
    ----------
    customer : Customer
        Its site.
    server : System
        The server.
    count : int
        Servers.

    Returns
    -------
    tuple of str
        A reason and a remedy; empty where they fit.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> small = default().model_copy(update={"site_kw": 10.0})
    >>> shortfall(small, facts.system("HGX H100"), 1)
    ('needs 13.3 kW with cooling and your site has 10 kW', 'a site of 13.3 kW, or rented GPUs')
    """
    found = limits(customer, server)
    if not found or min(found.values()) >= count:
        return "", ""
    broken, asked = min(found, key=lambda name: found[name]), need(customer, server, count)
    if broken == "site_kw":
        kw = units.fixed(asked.kw, 1)
        return f"needs {kw} kW with cooling and your site has {customer.site_kw:g} kW", (
            f"a site of {kw} kW, or rented GPUs"
        )
    if broken == "site_rack_kw":
        kw = units.fixed(asked.server_kw, 1)
        return f"needs {kw} kW in a rack that carries {customer.site_rack_kw:g} kW", (
            f"racks of {kw} kW, or rented GPUs"
        )
    return f"needs {asked.racks} racks and {customer.site_racks} are free", (f"{asked.racks} racks, or rented GPUs")
