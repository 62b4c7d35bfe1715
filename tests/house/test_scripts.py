"""The Lua files, and that putting them together refuses what can't be right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.keys import FIELDS
from asyncjobs.storage.redis.scripts import ScriptError, assemble
from tests.house.sources import LUA, below, name

ALL = below(LUA, ".lua")


def test_a_lua_file_begins_with_its_name_and_what_it_does() -> None:
    """A script with its own name; a part with the functions that it gives, or what it sets."""
    for path in ALL:
        text = path.read_text()
        first = f"{name(path)}: {text.splitlines()[0]}"
        told = re.search(r": -- (\w+(?:\([^)]*\))?(?:, \w+\([^)]*\))*): \S", first)
        assert told, first
        named = set(re.findall(r"(\w+)(?:\([^)]*\))?(?:, |$)", told[1]))

        functions = set(re.findall(r"^local function (\w+)\(", text, re.MULTILINE))
        assert named == {path.stem} if not functions or path.parent == LUA else named <= functions, first


def test_every_script_says_what_it_takes_and_answers() -> None:
    for path in LUA.glob("*.lua"):
        comment = re.match(r"(?:--.*\n)+", path.read_text())
        assert comment, path.name
        for word in ("KEYS:", "Reply:"):
            assert word in comment[0], f"{path.name} says nothing of its {word}"


def test_every_lua_file_is_used() -> None:
    included = {
        part for path in ALL for part in re.findall(r"^-- @include (\w+)$", path.read_text(), re.MULTILINE)
    }

    assert {script.name for script in scripts.all_scripts()} == {path.stem for path in LUA.glob("*.lua")}
    assert included == {path.stem for path in (LUA / "lib").glob("*.lua")}


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of Lua parts that only this test has."""
    (tmp_path / "lib").mkdir()
    monkeypatch.setattr(scripts, "_LUA", tmp_path)
    return tmp_path / "lib"


def test_includes_come_in_place_and_only_once(lib: Path) -> None:
    (lib / "a.lua").write_text("-- a: one part.\n-- @include b\nlocal a = b\n")
    (lib / "b.lua").write_text("-- b: another part.\nlocal b = 1\n")

    text = assemble("-- @include b\n-- @include a\n-- @include a\nreturn a\n", (), "test")

    assert text == "local t = KEYS[1]\nlocal b = 1\nlocal a = b\nreturn a\n"


def test_a_part_that_includes_itself_is_refused(lib: Path) -> None:
    (lib / "a.lua").write_text("-- @include b\n")
    (lib / "b.lua").write_text("-- @include c\n")
    (lib / "c.lua").write_text("-- @include a\n")

    with pytest.raises(ScriptError, match=re.escape("a.lua includes itself: a > b > c > a")):
        assemble("-- @include a\n", (), "test")


def test_a_part_that_is_missing_is_refused(lib: Path) -> None:
    with pytest.raises(ScriptError, match=r"lib/nowhere\.lua is missing"):
        assemble("-- @include nowhere\n", (), "test")


def test_names_become_what_keys_py_says() -> None:
    text = assemble("call(K.job(A.id), F.state, S.enqueued, K.queues, Created.EXISTS)\n", ("id",), "test")

    call = text.splitlines()[1]
    assert call == f"call((t..':j:'..(ARGV[1])), '{FIELDS['state']}', '3', (t..':queues'), 1)"


@pytest.mark.parametrize(
    "source",
    [
        "call(K.jobb(id))",
        "call(K.job)",
        "call(K.queues('x'))",
        "call(F.stat)",
        "call(W.numbers)",
        "call(M.alife)",
        "call(S.running)",
        "call(A.worker)",
        "call(Created.MAYBE)",
    ],
)
def test_a_name_that_is_not_declared_is_refused(source: str) -> None:
    with pytest.raises(ScriptError, match=r"^test: "):
        assemble(f"{source} call(A.id)\n", ("id",), "test")


def test_an_argument_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ScriptError, match="never read: worker"):
        assemble("call(A.id)\n", ("id", "worker"), "test")


@pytest.mark.parametrize(("count", "fits"), [(8, False), (10, True), (11, True), (300, True)])
def test_a_wrong_number_of_arguments_is_refused(count: int, fits: bool) -> None:
    if fits:
        scripts.EXCHANGE.check(count)
    else:
        with pytest.raises(ScriptError, match="exchange takes"):
            scripts.EXCHANGE.check(count)
