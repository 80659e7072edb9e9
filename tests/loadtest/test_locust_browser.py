"""Locust's page in a real browser: what its own script makes of what we tell it."""

from pathlib import Path

import pytest

from tests.loadtest.test_locust_page import locust
from tests.support.browser import CHROMIUM, chromium, opened
from tests.support.running import Server

pytestmark = [
    pytest.mark.whole_machine,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


def test_one_scenario_is_ticked_a_bad_rate_gets_a_sentence_and_the_logs_have_the_verdict(
    any_server: Server, tmp_path: Path
) -> None:
    flags = ["--class-picker", "--warmup=0", "--window=0.5"]
    with (
        locust(any_server, tmp_path, *flags) as ours,
        chromium() as browser,
        opened(browser, ours.page.url) as (page, _),
    ):
        rows = page.locator("tbody tr")
        rows.nth(11).wait_for()
        ticked = rows.filter(has=page.locator("input:checked"))
        assert ticked.locator("td:nth-child(2)").all_inner_texts() == ["Hello"]
        assert ticked.is_visible()
        assert page.locator("thead input").is_hidden()  # it would tick all

        page.get_by_text("Custom parameters").click()
        page.locator("input[name=rate]").fill("fast")
        page.get_by_role("button", name="Start", exact=True).click()
        message = "rate: expected a number from 0 to 1e+06, got 'fast'"
        page.get_by_role("alert").filter(has_text=message).wait_for()

        page.locator("input[name=rate]").fill("50")
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("tab", name="Logs").click()
        page.get_by_text("verdict: ").wait_for()
        assert ours.cell()["scenario"] == "hello"
