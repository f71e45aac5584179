"""Sequences that do not lie on one another, and the offer to register them, while their files are held."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import needs_browser
from driver import give, wait_for_result, watched
from loopback import until
from moved_study import moved_study
from serving import Drawn, Server, served, server

from lgg_demo.messages import say
from lgg_demo.page.handlers import Page
from lgg_demo.page.session import Session

__all__ = ["served", "server"]  # fixtures
BUTTON = "#viewer .lgg-messages ul[lang=en] button"


def keys(session: Session) -> list[str]:
    """What the user of a session is told of where its sequences lie."""
    return [s.key for r in session.results for s in r.warnings if s.key.startswith("sequence_")]


def asked(page: Page, session: Session, held: Any, choice: dict[str, object]) -> Session:
    *_, (again, _, _, _, _) = page.on_choose(json.dumps(choice), session, held, 0.5, "en")
    assert isinstance(again, Session)
    return again


def test_a_study_is_registered_on_demand_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    page = Page(Drawn())  # type: ignore[arg-type]
    page.folder.make()
    with page.folder.receiving("me"):
        taken = [str(page.folder.keep(file, file.name, "me")) for file in moved_study(tmp_path)]
    *_, (session, _, messages, held, _) = page.on_scan(taken, None, None, 0.5, "en")
    assert keys(session) == ["sequence_moved"]
    (offer,) = set(re.findall(r"<button[^>]*>", messages))
    assert 'data-study="0"' in offer and 'data-series="x_flair"' in offer
    registered = asked(page, session, held, {"study": 0, "series": "x_flair", "role": "register"})
    assert keys(registered) == ["sequence_registered"] and "<button" not in registered.messages()
    swapped = asked(page, registered, held, {"study": 0, "series": "x_t1", "role": "flair"})
    assert swapped.studies[0].chosen["flair"] == "x_t1" and "sequence_registered" in keys(swapped)  # type: ignore[union-attr]
    held.delete()


@needs_browser
@pytest.mark.browser
def test_the_button_beside_the_warning(browser: Any, server: Server, tmp_path: Path) -> None:
    context = browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})
    page = watched(context)
    page.goto(server.url)
    page.wait_for_selector("#viewer [data-take=scan]")
    give(page, "scan", moved_study(tmp_path))
    wait_for_result(page)
    page.click(BUTTON, timeout=60_000)
    note = say("sequence_registered", "en", file="x_t1", other="x_flair", mm=9)
    page.wait_for_selector(f"#viewer .lgg-messages li.note:has-text('{note}')", timeout=90_000)
    until(lambda: page.locator(BUTTON).count() == 0)
    assert page.locator(BUTTON).count() == 0 and page.errors == []
    context.close()
