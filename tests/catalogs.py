"""Small catalogs that tests add to: each has one resource and one event type, and ends in the table of the type."""

from __future__ import annotations

__all__ = ["DOOR", "INVOICE"]

DOOR = """
[resources.door]
label = "Doors"
target = "the door's ID"

[types.door_opened]
resource = "door"
event = "open"
about = "A door was opened."
"""

INVOICE = """
[resources.invoice]
label = "Invoices"
target = "the invoice's number"

[types.invoice_refunded]
resource = "invoice"
event = "refund"
about = "An invoice was refunded."
"""
