"""Where jobs are kept: the protocol, and the storages that follow it."""
