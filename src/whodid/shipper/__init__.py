"""The shipper: moves journalled entries into OpenSearch and advances the acknowledged position."""

from __future__ import annotations

from .loop import Shipper
from .observation import Progress

__all__ = ["Progress", "Shipper"]
