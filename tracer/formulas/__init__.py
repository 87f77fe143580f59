"""Formulas for the sizes of a trace: a run with symbols, its proof by plain runs, their writing."""
