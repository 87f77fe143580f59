"""Lessons and pages are read anew by a key, in an app that was started for this."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from streamlit.testing.v1 import AppTest

from ui.serve import EDIT

ROOT = Path(__file__).resolve().parents[1]

# In a process and on files of its own: the modules are dropped.
STORY = """
import os
from pathlib import Path
from streamlit.testing.v1 import AppTest

app = AppTest.from_file(os.path.abspath("app.py"), default_timeout=600)
app.switch_page("pages/1_Walkthrough.py")
app.query_params.update(lesson="eca-sequence", show="shapes", T="9")
app.run()
assert not app.exception, app.exception
old = app.title[0].value
lesson = Path("modules/eca.py")
lesson.write_text(lesson.read_text().replace(f'"{old}"', '"Another title"'))
page = Path("ui/push.py")
page.write_text(page.read_text().replace("POLL = 0.1", "POLL = 0.4"))
app.run()
assert app.title[0].value == old
app.button(key="reload").click().run()
assert not app.exception, app.exception
assert app.title[0].value == "Another title"
assert app.number_input(key="eca-sequence/T").value == 9
app.number_input(key="eca-sequence/T").set_value(11).run()
assert not app.exception, app.exception
from ui import push
assert push.POLL == 0.4
"""


def test_the_key_reads_lessons_and_pages_anew(tmp_path: Path) -> None:
    for name in ("modules", "ui", "pages", ".streamlit"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "app.py", tmp_path)
    (tmp_path / "tracer").symlink_to(ROOT / "tracer")
    environment = {**os.environ, EDIT: "1", "PYTHONPATH": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-B", "-c", STORY],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr


def test_others_have_no_such_key() -> None:
    app = AppTest.from_file("../app.py", default_timeout=600).run()
    assert not [button for button in app.button if button.key == "reload"]
