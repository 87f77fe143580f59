"""The lessons: real attention modules, written to be read beside their papers."""
