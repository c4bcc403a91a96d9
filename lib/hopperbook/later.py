"""Libraries that take long to load, loaded when something of theirs is first used."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __init__(self, load: Callable[[], ModuleType]) -> None:
        super().__init__(load.__name__.lstrip("_"))
        self._load = load

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._load(), name)
        setattr(self, name, value)  # asked once only
        return value


def _pandas() -> ModuleType:
    import pandas

    return pandas


def _special() -> ModuleType:
    from scipy import special

    return special


if TYPE_CHECKING:
    import pandas as pandas
    from scipy import special as special
else:
    pandas, special = _Later(_pandas), _Later(_special)
