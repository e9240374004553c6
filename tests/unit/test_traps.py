"""Each known trap of the stock CLI has a test that carries its number, or a reason why not yet."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NUMBERED = re.compile(r"def test_t(\d\d)_")

#: What makes a stock CLI crash, hang or do nothing.
TRAPS = {
    1: "a workspace without permissions",
    2: "a run without plan, apply, workspace or actions",
    3: "an include that is asked for and not there",
    4: "a time that does not end in Z",
    5: "no TFP-API-Version, or a low one",
    6: "a rate limit of 1 to 3, or a reset that is no number of seconds",
    7: "400 to an include that is unknown",
    8: "no run events",
    9: "a refused new state version, for 1.6.0 and 1.6.1, which may send it inline",
    10: "a state version without upload addresses",
    11: "a log whose address needs a query or a token",
    12: "anything but 200 to a read of a log",
    13: "a phase that never ends, or a log without its last byte",
    14: "offsets that count characters, or not the framing",
    15: "a workspace that promises another format than the log has",
    16: "an empty object where there is no repository",
    17: "a cost estimate that is named and not there",
    18: "a policy check that is overridden while it is shown",
    19: "task results, evaluations and checks without what they must have",
    20: "a run that cannot be confirmed yet when its plan's log ends",
    21: "a configuration that is uploaded later than its upload is answered",
    22: "a lock that is refused for its empty type",
    23: "safe delete by identifier alone",
    24: "a refusal of query keys that are unknown",
    25: "lists that do not turn their pages, or say null too early",
    26: "outputs in pages",
    27: "404 for the outputs of an empty workspace",
    28: "no `operations` for old versions",
    29: "run identifiers that do not begin with run-",
    30: "a module host without a dot, an archive that needs a token",
    31: "discovery that is JSON:API, or needs a good token",
    32: "a request that is sent again after a 5xx",
    33: "a forced push that arrives without force",
    34: "no queue, capacity or list of runs",
    35: "runs listed eldest first",
    36: "test runs that stay queued, or end as something unknown",
    37: "an apply's log whose first three lines say something",
    38: "a redacted plan without the schema of what changes",
    39: "a log that is compressed or held back",
    40: "a port other than 443",
    41: "a login with one port",
    42: "a login that answers an error",
    43: "an unlock that waits for a state for ever",
    44: "a download that refuses a foreign token",
}

WITHOUT = {
    18: "there are no policies yet",
    19: "there are no policies and run tasks yet",
    30: "there is no module registry yet",
    32: "a run that is asked for twice is two runs, for which nothing is promised yet",
    36: "there are no test runs yet",
    40: "the printed configuration holds the token as a credentials block; the login page comes with `login`",
    41: "there is no login from the CLI yet",
    42: "there is no login from the CLI yet",
}


def test_every_trap_has_a_test_or_a_reason() -> None:
    tested = {
        int(number)
        for path in TESTS.rglob("test_*.py")
        for number in NUMBERED.findall(path.read_text(encoding="utf-8"))
    }
    assert sorted(TRAPS.keys() - tested - WITHOUT.keys()) == [], "neither tested nor excused"
    assert sorted(tested & WITHOUT.keys()) == [], "tested, and excused all the same"
    assert sorted(tested - TRAPS.keys()) == [], "no such trap"
