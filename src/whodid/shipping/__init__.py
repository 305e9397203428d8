"""The shipper: moves journalled entries into OpenSearch and advances the acknowledged position."""

from __future__ import annotations

from .delivery import Progress
from .loop import Shipper

__all__ = ["Progress", "Shipper"]
