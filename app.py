"""Home: the gallery of lessons."""

from ui.frame import frame
from ui.gallery import gallery

frame("Lessons", "home")
gallery()
