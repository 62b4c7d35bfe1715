"""The demo: a real server, real worker processes, and the standard library's sources as work."""


def run_demo(
    *, kill: bool = False, processes: int = 2, url: str | None = None, dashboard: bool | None = None
) -> int:
    """Analyse Python's standard library on this machine, one job a file, and report; the exit code.

    * `kill`: kill a worker with -9 in the middle of it, and show that the report is exact nevertheless.
    * `processes`: worker processes (default 2).
    * `url`: a Redis or Valkey to use, of which only the namespace `asyncjobs-demo` is touched: what an
      earlier demo left there is removed, and this one's jobs stay to be looked at. Default: the packaged
      Valkey, started for this run.

    * `dashboard`: serve it meanwhile, and afterwards until SIGINT or SIGTERM. Default: on a terminal, if its
      packages are installed.

    Else it ends by itself, with exit code 0; after SIGINT or SIGTERM with 130 or 143. Either way nothing
    that it started is left running. On a terminal it shows a progress bar, else a few plain lines.

    Raises `AsyncjobsError`: the packaged Valkey can't be started (`EmbeddedServerError`), `url` can't be
    reached (`StorageUnavailable`), `processes` is below 1 (`OptionError`), or it can't go on for another
    reason that the message tells.
    """
    # Imported here: the workers import this package too, and need none of it.
    from asyncjobs.demo.run import run

    return run(kill=kill, processes=processes, url=url, dashboard=dashboard)
