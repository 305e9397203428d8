"""The delivery: a batch of documents sent until each of them is stored or refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..cluster.bulk import STORED, Document, Verdict
from ..dead_letters import DeadLetter
from .flow import Flow
from .observation import Answered, Observe, Waiting

__all__ = ["Delivery", "Send"]

Send = Callable[[Sequence[Document]], list[Verdict]]
"""Stores documents and returns a verdict for each: `opensearch.bulk.send_bulk` with its client bound."""


class Delivery:
    """Safe to be used by several threads at once, as `send` is."""

    def __init__(
        self, send: Send, flow: Flow, observe: Observe, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._flow = flow
        self._observe = observe
        self._monotonic = monotonic

    def __call__(self, documents: Sequence[Document]) -> list[DeadLetter] | None:
        """The refused; `None` when the flow's end, or that of its patience, came before all were judged."""
        refused: list[DeadLetter] = []
        tries = 0
        while documents:
            if self._flow.over:
                return None
            batch = documents[: self._flow.fitting(documents)]
            rest = documents[len(batch) :]
            verdicts = self._request(batch)
            if verdicts.count(STORED) == len(batch):
                self._flow.went_well()
                documents, tries = rest, 0
                continue
            judged = list(zip(batch, verdicts, strict=True))
            refused += [_dead_letter(document, verdict) for document, verdict in judged if verdict.kind == "refused"]
            waiting = [(document, verdict) for document, verdict in judged if verdict.kind == "wait"]
            documents = [*rest, *(document for document, _ in waiting)]  # one that has to wait holds up no other
            tries = tries + 1 if len(waiting) == len(batch) else 0
            if waiting and not self._try_again(waiting, tries):
                return None
        return refused

    def _request(self, batch: Sequence[Document]) -> list[Verdict]:
        began = self._monotonic()
        verdicts = self._send(batch)
        self._observe(Answered(self._monotonic() - began, len(batch), sum([len(document.raw) for document in batch])))
        if any(verdict.kind != "wait" for verdict in verdicts):
            self._flow.answered()
        return verdicts

    def _try_again(self, waiting: Sequence[tuple[Document, Verdict]], tries: int) -> bool:
        """Says what is waited for, and waits; whether it is worth another try."""
        first = waiting[0][1]
        alone = first.cause == "too_large" and len(waiting) == 1
        if not alone:
            self._flow.went_badly(first.cause, sum(len(document.raw) for document, _ in waiting))
        self._observe(Waiting(first.cause, first.reason, len(waiting)))
        if first.cause == "too_large" and not alone:
            return not self._flow.over  # half of it may go at once
        return self._flow.pause(tries, first.cause)


def _dead_letter(document: Document, verdict: Verdict) -> DeadLetter:
    return DeadLetter(document.id, document.partition, verdict.reason, document.raw.decode())
