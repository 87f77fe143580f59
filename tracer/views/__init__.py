"""What turns a Trace into something to look at; nothing here runs a module."""

from tracer.document import RENDERERS

RENDERERS.update(page="tracer.views.html:page", notebook="tracer.views.html:notebook")
