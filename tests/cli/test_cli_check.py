"""`asyncjobs check`, and what `--repair` does."""

from __future__ import annotations

from asyncjobs.storage.redis.keys import Keys, hash_tag
from tests.cli.conftest import APP, Asyncjobs, OpenTerminal
from tests.servers import Server

KEYS = Keys(hash_tag("asyncjobs", 0, 1))
NOTHING = "Nothing contradicts anything.\n"


def _damage(asyncjobs: Asyncjobs, server: Server) -> str:
    """Lose a job's place in its queue; its id."""
    job_id = asyncjobs("enqueue", APP, "add", 1, 2).out.strip()
    server.command("DEL", KEYS.key("queue", "default"))
    return job_id


def test_nothing_to_mend(asyncjobs: Asyncjobs) -> None:
    asyncjobs("enqueue", APP, "add", 1, 2)
    assert asyncjobs("check").out == NOTHING
    assert asyncjobs("check", "--json").json == {"findings": []}
    assert asyncjobs("check", "--repair", "--yes").out == NOTHING
    assert asyncjobs("check", "--repair", "--yes", "--json").json == {"findings": [], "left": 0}


def test_what_is_found_and_mended(asyncjobs: Asyncjobs, server: Server) -> None:
    job_id = _damage(asyncjobs, server)
    told = asyncjobs("check", code=1)
    assert told.lines[0].split() == ["KIND", "ID", "WHAT", "CONTRADICTS"]
    assert told.lines[1].split()[:2] == ["job", job_id]
    (found,) = asyncjobs("check", "--json", code=1).json["findings"]
    assert (found["kind"], found["id"]) == ("job", job_id)
    assert "0 times in queue" in found["detail"]

    told = asyncjobs("check", "--repair", "--yes")
    assert told.lines[1].split()[:2] == ["job", job_id]
    assert told.lines[-1] == "1 mended"
    assert asyncjobs("check").out == NOTHING
    shown = asyncjobs("show", job_id)
    assert "repaired" in shown.out
    assert "it is put at the tail of queue default" in shown.out
    (entry,) = asyncjobs("show", job_id, "--json").json["history"]
    assert (entry["event"], entry["error"]) == ("repaired", None)
    assert entry["reason"] == "it is put at the tail of queue default"


def test_what_a_person_has_to_see_to(asyncjobs: Asyncjobs, server: Server) -> None:
    asyncjobs("recurring", "put", APP, "nightly", "@daily", "add", 1, 2)
    server.command("DEL", KEYS.key("recurring"))
    told = asyncjobs("check", "--repair", "--yes", code=1)
    assert "NOT MENDED" in told.out
    assert told.lines[-1] == "0 mended, 1 left for a person to see to"
    document = asyncjobs("check", "--repair", "--yes", "--json", code=1).json
    assert document["left"] == 1
    (row,) = document["findings"]
    assert (row["kind"], row["id"], row["mended"]) == ("recurring", "nightly", False)
    assert "put it again" in row["text"]


def test_it_asks_before_it_mends(asyncjobs: Asyncjobs, server: Server, terminal: OpenTerminal) -> None:
    told = asyncjobs("check", "--repair", code=2)
    assert "add --yes" in told.err
    _damage(asyncjobs, server)
    for answer, code in (("n", 1), ("y", 0)):
        screen = terminal("check", "--repair")
        screen.until("Mend all of that, as far as it can be? [y/N]: ")
        screen.type(answer)
        assert screen.ended() == code
    assert asyncjobs("check").out == NOTHING
