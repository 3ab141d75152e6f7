"""What the words of ``ssh`` mean when it could not log in."""

from __future__ import annotations

import re

from adapter.errors import AuthenticationError, ConnectError, TransportError

_WRONG = "the SSH set-up for {host} is wrong: {said}"
_STOP = {
    re.compile(
        r"Bad configuration option|bad configuration options|Bad owner or permissions|percent_expand|"
        r"Can't open user config file|in revoked keys file|^(?!debug\d: ).* line \d+: ",
        re.MULTILINE,
    ): _WRONG,
    re.compile(r"REVOKED HOST KEY|revoked by file|marked as revoked"): (
        "the host key of {host} is REVOKED: nobody may use it any more. Ask the site for its new one. ssh says: {said}"
    ),
    re.compile(r"IDENTIFICATION HAS CHANGED|differs from the key for the IP address"): (
        "the host key of {host} has CHANGED since it was accepted{shown}: somebody may be in between. "
        "Ask the site; only if it says so, remove the old key with `ssh-keygen -R` and accept the new "
        "one. ssh says: {said}"
    ),
    re.compile(r"No \S+ host key is known for|Host key verification failed"): (
        "the host key of {host} is not known{shown}. Compare its fingerprint with what the site "
        "publishes, and accept it once with `ssh {host}`. ssh says: {said}"
    ),
    re.compile(
        r"Permission denied|Too many authentication failures|No more authentication methods|"
        r"no mutual signature|[Aa]uthentication failed"
    ): (
        "{host} does not let us in: {said}. Try `ssh {host}`; no further attempt is made, so that the "
        "site does not ban you{nobody}"
    ),
}
"""What another attempt does not mend: patterns of what ``ssh`` says, the first that fits, and what we say."""
_NOBODY = (
    ". Nobody could be asked here; any command of adapter on a terminal asks, and opens the "
    "connection for this one, too"
)
_SILENT = re.compile(r"timed out|Connection timeout|Timeout before")
_NOISE = re.compile(r"debug\d: .*|@.*|OpenSSH_\d.*|Warning: Permanently added .*|")


def said_by_ssh(log: str) -> list[str]:
    """Return the lines of *log* that are for people."""
    lines = (line.strip() for line in log.splitlines())
    return [line for line in lines if not _NOISE.fullmatch(line)]


def login_error(host: str, words: str, *, proxy: str, has_asked: bool) -> TransportError:
    """Return the error that *words* stand for, which ``ssh`` said instead of logging in at *host*.

    *proxy* is what its jump hosts or its ProxyCommand said: a refusal there is one, too, and is not to
    be met again and again. *has_asked*: somebody could have been asked.
    """
    on_the_way = " / ".join(said_by_ssh(proxy)[-5:])
    said = " / ".join(said_by_ssh(words)[-8:]).rstrip(".") or "it does not say why"
    said += f" (its ProxyCommand says: {on_the_way})" if on_the_way else ""
    every = f"{proxy}\n{words}"
    for pattern, sentence in _STOP.items():
        if pattern.search(every):
            keys = re.findall(r"Server host key: \S+ (SHA256:\S+)", every)
            shown = f" (it shows {keys[-1]})" if keys else ""
            return AuthenticationError(
                sentence.format(host=host, shown=shown, said=said, nobody="" if has_asked else _NOBODY)
            )
    silent = "it does not answer: " if _SILENT.search(every) else ""
    return ConnectError(f"cannot reach {host}: {silent}{said}")


def settings_error(host: str, words: str) -> AuthenticationError:
    """Return the error for a mistake on this machine, which another attempt does not mend."""
    return AuthenticationError(_WRONG.format(host=host, said=words))
