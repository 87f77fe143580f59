"""When a page is at rest, and whether it stayed so."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

BETWEEN = 100
"""Milliseconds between two looks at a page that waits for its server.  One that is asked with every
frame, as Playwright does by itself, makes a frame for each question: a sixth of a processor."""

AT_REST = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  if (app && app.dataset.testScriptState !== 'notRunning') return false;
  const busy = ['stStatusWidget', 'stProgress', 'stSkeleton', 'stSpinner'];
  const signs = busy.map(name => `[data-testid=${name}]`).join();
  if (document.querySelector(`${signs}, .st-key-progress, [data-stale=true]`)) return false;
  // A cursor blinks for ever.
  const ends = each => each.effect.getComputedTiming().iterations !== Infinity;
  return !document.getAnimations().some(each => each.playState === 'running' && ends(each));
}"""

WATCH = """() => {
  window.drawnAnew = 0;
  const app = document.querySelector('[data-testid=stApp]');
  if (!app || window.restWatched === app) return;
  window.restWatched = app;
  new MutationObserver(() => { window.drawnAnew += 1; }).observe(
    app, { attributeFilter: ['data-test-script-state'] });
}"""


def until(page: Page, holds: str, arg: Any = None) -> None:
    """Waits until it holds on the page."""
    page.wait_for_function(holds, arg=arg, polling=BETWEEN)


def settled(page: Page) -> None:
    """Waits until no script of the page runs, nothing on it is of an earlier run or has still to
    come, and nothing moves that will ever end.  A page without Streamlit has but the latter."""
    until(page, AT_REST)


def watch_rest(page: Page) -> None:
    """From now on `has_rested` tells of the page."""
    page.evaluate(WATCH)


def has_rested(page: Page) -> bool:
    """Whether no script of the page has run since `watch_rest`."""
    rested: bool = page.evaluate("window.drawnAnew === 0")
    return rested
