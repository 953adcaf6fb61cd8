"""No secret is said by a command, also where somebody else's code puts it into an error."""

from pathlib import Path

import pytest

from tests.canaries import leaks
from tests.commands.project import EMBEDDED, Project, closed_port
from tests.patience import HANGS_AFTER_S

KAFKA = "kafka-canary-6f1c4c1d"
REDIS = "redis-canary/91b@aa07"
KEY = "key-canary-" + "3" * 32
OLDER = "older-canary-" + "4" * 32
SECRETS = [KAFKA, REDIS, KEY, OLDER]

TALKATIVE = """
import logging, os
logging.getLogger("theirs").warning("url %s", os.environ["STREAM__REDIS__URL"])
def make():
    try:
        raise ValueError(os.environ["STREAM__REDIS__URL"])
    except ValueError as error:
        raise RuntimeError("key " + os.environ["STREAM__SNAPSHOTS__SIGNING_KEY"]) from error
"""


def environment(folder: Path) -> dict[str, str]:
    """Secrets in variables, and in a file outside of the project."""
    (folder / "older").write_text(OLDER)
    return {
        "STREAM__REDIS__URL": f"redis://me:{REDIS.replace('/', '%2F').replace('@', '%40')}"
        f"@127.0.0.1:{closed_port()}/0",
        "STREAM__SNAPSHOTS__SIGNING_KEY": KEY,
        "STREAM__SNAPSHOTS__OLDER_KEY_FILES": f'["{folder / "older"}"]',
    }


def test_what_a_model_says_of_secrets_is_cut_out(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In the message, in the traceback that --debug shows, and in the log of a library."""
    given = environment(tmp_path_factory.mktemp("secrets"))
    assert project.fed(5).code == 0
    project.write("talkative.py", TALKATIVE)
    project.configure(EMBEDDED + '[model]\nfactory = "talkative:make"\n')

    for words in ("check", "run --until-end", "snapshots verify"):
        done = project.stream(*words.split(), "--debug", timeout_s=HANGS_AFTER_S, **given)
        assert done.said("***"), done
        if words == "run --until-end":
            assert done.code == 78, done
            assert "Traceback" in done.err
            assert "theirs" not in done.err or "url ***" in done.err
        found = leaks({"out": done.out.encode(), "err": done.err.encode()}, SECRETS)
        assert found == [], done


@pytest.mark.parametrize("words", ["check", "run --until-end", "status", "snapshots list"])
def test_servers_that_are_away_are_told_without_secrets(
    project: Project, tmp_path_factory: pytest.TempPathFactory, words: str
) -> None:
    """Exit 69 or 78, with the address and without the password."""
    given = environment(tmp_path_factory.mktemp("secrets"))
    project.configure(
        f'[kafka]\nbootstrap_servers = "127.0.0.1:{closed_port()}"\n[kafka.options]\n'
        'security_protocol = "SASL_PLAINTEXT"\nsasl_mechanism = "PLAIN"\n'
        f'sasl_plain_username = "me"\nsasl_plain_password = "{KAFKA}"\n'
        '[model]\nfactory = "stream.models:logistic_regression"\n'
    )

    done = project.stream(*words.split(), "--debug", timeout_s=HANGS_AFTER_S, **given)

    assert done.code in {69, 78}, done
    assert done.said("127.0.0.1"), done
    assert leaks({"out": done.out.encode(), "err": done.err.encode()}, SECRETS) == []
