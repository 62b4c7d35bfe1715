"""Another program that enqueues the application's jobs, which it knows by their names."""

from asyncjobs import Registry

registry = Registry()


@registry.external("cli_shop.send_email", queue="mail")
async def send_email(to: str, *, subject: str = "Hi") -> str:
    raise NotImplementedError


@registry.external("cli_shop.add")
def add(a: int, b: int) -> int:
    raise NotImplementedError


@registry.external("cli_shop.fail")
async def fail(what: str) -> None:
    raise NotImplementedError
