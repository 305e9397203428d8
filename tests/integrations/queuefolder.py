"""kombu's `filesystem` transport, where this is imported, with messages that are seen once they are whole.

kombu's own creates a message's file before it fills it: a worker who looks in between reads an empty one, and ends.
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem


class Channel(filesystem.Channel):
    def _put(self, queue: Any, message: Any, **_: object) -> None:  # type: ignore[override] # kombu's own two differ
        whole = Path(self.data_folder_out) / f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        part = whole.with_suffix(".part")
        part.write_text(json.dumps(message))
        part.rename(whole)

    def _queue_bind(self, *_: object) -> None:
        """No file of exchanges, which is written as carelessly: tasks are sent straight to their queue."""


class Transport(filesystem.Transport):
    Channel = Channel


TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
