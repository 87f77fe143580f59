"""What turns a Trace into something to look at; nothing here runs a module."""
