"""What the types promise to users: code that is right passes both checkers, each mistake is found by both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SAMPLES = ("good.py", "good_limits.py", "bad.py", "bad_limits.py")
GOOD, BAD = (tuple(sample for sample in SAMPLES if sample.startswith(kind)) for kind in ("good", "bad"))
CHECKERS = ("mypy", "pyright")
MYPY_LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<message>.*)")

Found = dict[str, dict[int, list[str]]]


@cache
def check(checker: str) -> Found:
    """The errors of all samples: file → line → messages."""
    found: Found = {sample: defaultdict(list) for sample in SAMPLES}
    paths = [str(HERE / sample) for sample in SAMPLES]
    if checker == "mypy":
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--hide-error-context",
            *paths,
        ]
        printed = run(command)
        for line in printed.splitlines():
            match = MYPY_LINE.match(line)
            if match is not None:
                found[Path(match["file"]).name][int(match["line"])].append(match["message"])
        return found
    config = HERE / "pyrightconfig.json"
    printed = run(
        [
            *(sys.executable, "-m", "pyright", "--outputjson"),
            "--project",
            str(config),
            "--pythonpath",
            sys.executable,
        ]
    )
    report = json.loads(printed)
    assert report["summary"]["filesAnalyzed"] == len(SAMPLES)
    for error in report["generalDiagnostics"]:
        found[Path(error["file"]).name][error["range"]["start"]["line"] + 1].append(error["message"])
    return found


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def told(errors: dict[int, list[str]]) -> str:
    return "\n".join(f"line {line}: {'; '.join(messages)}" for line, messages in sorted(errors.items()))


@pytest.mark.parametrize("sample", GOOD)
@pytest.mark.parametrize("checker", CHECKERS)
def test_code_that_is_right_passes(checker: str, sample: str) -> None:
    errors = check(checker)[sample]
    assert not errors, told(errors)


@pytest.mark.parametrize("sample", BAD)
@pytest.mark.parametrize("checker", CHECKERS)
def test_each_mistake_is_found_and_nothing_else(checker: str, sample: str) -> None:
    lines = (HERE / sample).read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    errors = check(checker)[sample]
    missed = "\n".join(
        f"line {number}: {lines[number - 1].strip()}" for number in sorted(marked - set(errors))
    )
    assert not missed, f"{checker} finds nothing in\n{missed}"
    wrong = {line: messages for line, messages in errors.items() if line not in marked}
    assert not wrong, told(wrong)
