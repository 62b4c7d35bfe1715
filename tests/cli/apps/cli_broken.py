"""An application with a fault in it."""

from asyncjobs import Registry

registry = Registry()


def configure() -> None:
    raise RuntimeError("the configuration is wrong")


configure()
