"""A worker inside a FastAPI application: it lives in the application's lifespan, on the same event loop.

    python examples/fastapi_worker.py

    curl -X POST 'localhost:8000/letters?to=Ada'   {"job": "…"}
    curl localhost:8000/letters/…                  {"job": "…", "state": "succeeded", "text": "Dear Ada, …"}

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server; PORT says where it listens.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from asyncjobs import Client, Registry, Retry, State, Worker
from asyncjobs.embedded import EmbeddedServer

registry = Registry()


@registry.job(name="letter", queue="mail", retry=Retry(max_retries=3, delay=5), timeout=30)
async def write_letter(to: str) -> str:
    await asyncio.sleep(0.2)  # stands for real work
    return f"Dear {to}, all is well here."


class Ordered(BaseModel):
    job: str


class Letter(BaseModel):
    job: str
    state: State
    text: str | None = None


@contextmanager
def redis_url() -> Generator[str]:
    if url := os.environ.get("ASYNCJOBS_REDIS"):
        yield url
    else:
        with EmbeddedServer() as server:
            yield server.url


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """When the application ends, the worker stops fetching and lets running jobs end, or puts them back."""
    with redis_url() as url:
        async with Client(url, registry=registry) as client, Worker(registry, client, grace=10):
            app.state.client = client
            yield


app = FastAPI(lifespan=lifespan)


def client_of(request: Request) -> Client:
    client: Client = request.app.state.client
    return client


Jobs = Annotated[Client, Depends(client_of)]


@app.post("/letters", status_code=202)
async def order_letter(to: str, client: Jobs) -> Ordered:
    job = await client.enqueue(write_letter, to)
    return Ordered(job=job.id)


@app.get("/letters/{job_id}")
async def read_letter(job_id: str, client: Jobs) -> Letter:
    job = await client.get(job_id, write_letter)
    if job is None:
        raise HTTPException(404, "there is no such letter")
    text = await job.result() if job.state is State.SUCCEEDED else None
    return Letter(job=job.id, state=job.state, text=text)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
