"""What axe-core finds wrong with a page (WCAG and best practice)."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

__all__ = ["serious"]


def serious(page: Page, *, again: bool = False) -> list[str]:
    """Serious and critical findings: the rule, and the first element that breaks it.

    `again`: the page was looked at in another colour scheme, so only colours may differ.
    """
    options = {
        "resultTypes": ["violations"],
        **({"runOnly": ["color-contrast", "link-in-text-block"]} if again else {}),
    }
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in {"serious", "critical"}]
