"""The documentation's code runs, prints what it says, and its commands and links exist."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import asyncjobs
from asyncjobs import Client
from asyncjobs.cli.main import cli
from tests.examples.pages import PAGES, ROOT, blocks, files, run, snippets
from tests.examples.running import environment
from tests.waiting import eventually_sync

DOCS = ROOT / "docs"
GETTING_STARTED = DOCS / "getting-started.md"
CONTRACT = DOCS / "storage-contract.md"
WITH_SNIPPETS = [page for page in PAGES if page != ROOT / "README.md" and snippets(page)]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=_name)
async def test_the_code_on_a_page_runs(
    page: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASYNCJOBS_REDIS", redis_url)
    monkeypatch.chdir(tmp_path)
    async with Client() as client:
        await run(page, client)


def test_no_code_is_left_out() -> None:
    """A block that is a file is run by a test of its own page, below; in the README, by the example's."""
    with_files = {page for page in PAGES if files(page)}

    assert with_files == {GETTING_STARTED, CONTRACT}


def test_the_first_steps_lead_where_they_say(tmp_path: Path) -> None:
    written = files(GETTING_STARTED)
    assert set(written) == {"app.py", "send.py", "script.py"}
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    log = tmp_path / "worker.log"
    commands = [
        shlex.split(line.removeprefix("$ "))
        for block in blocks(GETTING_STARTED)
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ asyncjobs ")
    ]
    start, enqueue = (next(words for words in commands if words[1] == name) for name in ("worker", "enqueue"))
    asyncjobs_command = [sys.executable, "-m", "asyncjobs"]
    with log.open("wb") as stream:
        worker = subprocess.Popen(
            [*asyncjobs_command, *start[1:]],
            cwd=tmp_path,
            env=environment(None),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )

    def said(pattern: str) -> str:
        assert worker.poll() is None, log.read_text()
        found = re.search(pattern, log.read_text())
        return found[1] if found else ""

    try:
        url = eventually_sync(lambda: said(r"export ASYNCJOBS_REDIS=(\S+)"), 30)
        eventually_sync(lambda: said(r"worker (\S+) serves"), 30)

        def run_it(*command: str) -> str:
            done = subprocess.run(
                command, cwd=tmp_path, env=environment(url), capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        for program in ("send.py", "script.py"):
            assert run_it(sys.executable, program) == _output_after(program)
        assert run_it(*asyncjobs_command, *enqueue[1:]).splitlines()[-1] == "5"
    finally:
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(40)
        print(log.read_text())
    assert code == 0


def _output_after(program: str) -> str:
    """What the page says that `$ python PROGRAM` prints."""
    shown = [block.text for block in blocks(GETTING_STARTED) if f"$ python {program}\n" in block.text]
    assert len(shown) == 1
    return shown[0].split(f"$ python {program}\n", 1)[1]


@pytest.mark.slow
def test_the_kit_holds_a_storage_as_the_page_shows(tmp_path: Path) -> None:
    for name, text in files(CONTRACT).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""},
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout[-300:]
    assert int(passed[1]) > 100, "the page's class has the kit's tests"


def _command_lines() -> list[tuple[str, list[str]]]:
    lines: list[tuple[str, list[str]]] = []
    for page in PAGES:
        for block in blocks(page):
            if block.language not in ("console", "ini", "sh"):
                continue
            for at, line in enumerate(block.text.splitlines(), block.line):
                found = re.search(r"(?:^\$ |ExecStart=\S*/|\| (?:xargs )?)asyncjobs( .*)?$", line)
                if found:
                    words = shlex.split((found[1] or "").split(" | ")[0], comments=True)
                    lines.append((f"{_name(page)}:{at}", words))
    return lines


@pytest.mark.parametrize(("where", "words"), _command_lines(), ids=lambda value: str(value)[:40])
def test_a_command_on_a_page_is_one_that_exists(where: str, words: list[str]) -> None:
    if "--help" in words:
        return
    assert words, where
    command = cli.commands[words[0]]
    try:
        command.make_context(words[0], words[1:], parent=click.Context(cli))
    except click.UsageError as error:
        pytest.fail(f"{where}: {error.format_message()}")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            anchors = {
                re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
            }
            assert anchor in anchors, f"{target}: there is no such heading"


@pytest.mark.parametrize("name", asyncjobs.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    assert (getattr(asyncjobs, name).__doc__ or "").strip(), f"{name} has no docstring"
    assert any(re.search(rf"\b{name}\b", page.read_text()) for page in PAGES), f"no page speaks of {name}"
