"""The shipper: moves journalled entries into OpenSearch and advances the acknowledged position."""

from __future__ import annotations

from .loop import Progress, Shipper

__all__ = ["Progress", "Shipper"]
