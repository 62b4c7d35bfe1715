"""One small program a peer, run in its own process and in its peer's own environment."""
