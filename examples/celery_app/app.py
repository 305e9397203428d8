"""A shop that refunds invoices in the background: Celery with an event type of its own (events.toml beside this file).

    celery --workdir examples/celery_app --app app worker --pool prefork --concurrency 2
    python examples/celery_app/app.py --user 42 --organization 7 --amount 30 2026-117 2026-118

The second command stands for a web application, in which middleware binds who and from where to each request. Without a
broker (CELERY_BROKER_URL) the queue is a folder, SHOP_QUEUE or .queue beside this file: enough to try it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from celery import Celery, chain

import whodid
from whodid.integrations.celery import install

whodid.configure(catalog=str(Path(__file__).with_name("events.toml")), service="shop")
log = whodid.get_logger("shop")

folder = Path(os.environ.get("SHOP_QUEUE") or Path(__file__).with_name(".queue")).absolute()
queue, control = folder / "messages", folder / "control"
for each in (queue, control):
    each.mkdir(parents=True, exist_ok=True)
app = Celery("app", broker=os.environ.get("CELERY_BROKER_URL", "filesystem://"))
app.conf.broker_transport_options = {
    "data_folder_in": str(queue),
    "data_folder_out": str(queue),
    "control_folder": str(control),
}
app.conf.worker_enable_remote_control = False
app.conf.beat_schedule = {"every night": {"task": "app.remind", "schedule": 86400.0}}
install(app)


@app.task(bind=True, max_retries=1)  # type: ignore[untyped-decorator] # Celery is untyped
def refund(self: Any, invoice: str, amount: int) -> None:
    """The bank is busy at the first attempt; the second is by the same user, and belongs to the same cascade."""
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    log.audit("invoice_refunded", target=invoice, details={"amount": amount})


@app.task  # type: ignore[untyped-decorator]
def notify(invoice: str) -> None:
    log.audit("refund_announced", target=invoice)


@app.task  # type: ignore[untyped-decorator]
def remind() -> None:
    """Started by the clock: nobody queued it, so it says who acts."""
    with whodid.system():
        log.audit("reminders_sent", target="all")


def main() -> None:
    parser = argparse.ArgumentParser(description="Queues refunds, and a reminder that nobody asked for.")
    parser.add_argument("invoices", nargs="+")
    parser.add_argument("--user", required=True)
    parser.add_argument("--organization", required=True)
    parser.add_argument("--amount", type=int, default=1)
    given = parser.parse_args()
    with whodid.context(principal=given.user, organization_id=given.organization, client_ip="203.0.113.9"):
        for invoice in given.invoices:
            chain(refund.si(invoice, given.amount), notify.si(invoice)).delay()
    remind.delay()


if __name__ == "__main__":
    main()
