"""What turns a Trace into something to look at; nothing here runs a module."""

from tracer.document import RENDERERS

RENDERERS.update(
    page="tracer.views.html:page",
    notebook="tracer.views.html:notebook",
    text="tracer.views.text:annotated",
    markdown="tracer.views.text:markdown",
    mermaid="tracer.views.mermaid:mermaid",
    summary="tracer.views.summary:summary",
    records="tracer.views.records:records",
    dataframe="tracer.views.records:dataframe",
)
