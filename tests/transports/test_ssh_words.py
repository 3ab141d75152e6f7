"""What ``ssh`` says when it does not get in; the words are those of OpenSSH 8.4 to 9.9."""

from __future__ import annotations

import pytest

from adapter.errors import AuthenticationError, ConnectError, TransportError
from adapter.transports.ssh_words import login_error


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        pytest.param("ssh: connect to host h port 22: Connection refused", ConnectError, "cannot reach h", id="closed"),
        pytest.param("ssh: connect to host h port 22: No route to host", ConnectError, "No route", id="no route"),
        pytest.param(
            "ssh: Could not resolve hostname h: Temporary failure in name resolution", ConnectError, "resolve",
            id="no name",
        ),
        pytest.param(
            "ssh: connect to host h port 22: Connection timed out", ConnectError, "it does not answer", id="silent"
        ),
        pytest.param(
            "Connection timed out during banner exchange", ConnectError, "it does not answer", id="no banner"
        ),
        pytest.param(
            "kex_exchange_identification: read: Connection reset by peer", ConnectError, "cannot reach", id="too busy"
        ),
        pytest.param("", ConnectError, "it does not say why", id="nothing"),
        pytest.param(
            "me@h: Permission denied (publickey,gssapi-with-mic).", AuthenticationError, "does not let us in", id="key"
        ),
        pytest.param(
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures", AuthenticationError,
            "does not let us in", id="too many keys",
        ),
        pytest.param(
            "Host key verification failed.", AuthenticationError, "the host key of h is not known", id="unknown host"
        ),
        pytest.param(
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            AuthenticationError, "has CHANGED", id="changed host",
        ),
        pytest.param(
            "Bad owner or permissions on /home/me/.ssh/config", AuthenticationError, "set-up for h is wrong", id="mode"
        ),
        pytest.param(
            "debug1: /home/me/.ssh/config line 3: Applying options for h\nConnection closed by 10.0.0.1 port 22",
            ConnectError, "Connection closed", id="what is said on the way is no mistake",
        ),
    ],
)  # fmt: skip
def test_the_words_of_ssh_say_whose_turn_it_is(words: str, kind: type[TransportError], said: str) -> None:
    error = login_error("h", words, proxy="", has_asked=True)
    assert type(error) is kind
    assert said in str(error)
    assert "debug1" not in str(error)


def test_a_refusal_on_the_way_is_a_refusal() -> None:
    closed = "kex_exchange_identification: Connection closed by remote host"
    error = login_error("h", closed, proxy="me@gate: Permission denied (publickey).", has_asked=False)
    assert type(error) is AuthenticationError
    assert "me@gate: Permission denied" in str(error)
