"""The operation table: one entry per operation, one file per family.

An entry declares the dimensions of operands and results, what must hold, where each dimension
comes from and what is said of it; everything that explains, follows, checks or counts reads it
through `tracer.ops.table`.  Nothing here imports torch, so that a saved run is understood without
it.
"""
