"""Runs of `setup --dashboards` inside the test's own process, against the stand-in."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.opensearch.dashboards_fake import DashboardsFake
from whodid.cluster.template import Change
from whodid.errors import OpenSearchError
from whodid.settings import Settings
from whodid.setup.dashboards import Dashboards, plan
from whodid.setup.setup import apply

__all__ = ["install", "kinds", "planned", "refusal"]


def planned(
    fake: DashboardsFake, settings: Settings, tenant: str = "", url: str = "", tab_url: str = ""
) -> tuple[Change, ...]:
    with closing(Dashboards(url or fake.url, settings, tenant)) as dashboards:
        return plan(dashboards, settings, tab_url)


def kinds(fake: DashboardsFake, settings: Settings, tenant: str = "") -> list[str]:
    return [change.kind for change in planned(fake, settings, tenant)]


def install(fake: DashboardsFake, settings: Settings, tenant: str = "") -> None:
    with closing(Dashboards(fake.url, settings, tenant)) as dashboards:
        apply(plan(dashboards, settings))


def refusal(fake: DashboardsFake, settings: Settings | None = None, tenant: str = "", url: str = "") -> OpenSearchError:
    with pytest.raises(OpenSearchError) as raised:
        planned(fake, settings or Settings(), tenant, url)
    return raised.value
