"""Libraries that take long to load, loaded when something of theirs is first used."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)  # asked once only
        return value


if TYPE_CHECKING:
    import pandas as pandas
    from scipy import special as special
else:
    pandas, special = _Later("pandas"), _Later("scipy.special")
