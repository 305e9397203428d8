"""The shipper: moves journalled entries into OpenSearch and advances the acknowledged position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..resources import at_first_use

if TYPE_CHECKING:
    from .delivery import Progress
    from .loop import Shipper

__all__ = ["Progress", "Shipper"]

__getattr__ = at_first_use(__name__, {"Progress": ".delivery", "Shipper": ".loop"})
