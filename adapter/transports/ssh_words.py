"""What the words of ``ssh`` mean when it could not log in."""

from __future__ import annotations

import re

from adapter.errors import AuthenticationError, ConnectError, TransportError

_SETTINGS = re.compile(
    r"Bad configuration option|bad configuration options|Bad owner or permissions|"
    r"^command-line line \d+|[Uu]nsupported option|line \d+: |Can't open user config file|"
    r"percent_expand|unknown key %|in revoked keys file",
    re.MULTILINE,
)
_REVOKED = re.compile(r"REVOKED HOST KEY|revoked by file|marked as revoked")
_CHANGED = re.compile(r"IDENTIFICATION HAS CHANGED|differs from the key for the IP address")
_UNKNOWN = re.compile(r"No \S+ host key is known for|Host key verification failed")
_REFUSED = re.compile(
    r"Permission denied|Too many authentication failures|No more authentication methods|"
    r"no mutual signature|[Aa]uthentication failed"
)
_SILENT = re.compile(r"timed out|Connection timeout|Timeout before")
_NOISE = re.compile(r"debug\d: .*|@.*|OpenSSH_\d.*|Warning: Permanently added .*|")


def said_by_ssh(log: str) -> list[str]:
    """Return the lines of *log* that are for people."""
    lines = (line.strip() for line in log.splitlines())
    return [line for line in lines if not _NOISE.fullmatch(line)]


def login_error(host: str, words: str, *, proxy: str, has_asked: bool) -> TransportError:
    """Return the error that *words* stand for, which ``ssh`` said instead of logging in at *host*.

    *proxy* is what its ProxyCommand said. *has_asked*: somebody could have been asked.
    """
    lines = said_by_ssh(words)
    said = " / ".join(lines[-8:]) or "it does not say why"
    keys = re.findall(r"Server host key: \S+ (SHA256:\S+)", words)
    shown = f" (it shows {keys[-1]})" if keys else ""
    if _SETTINGS.search("\n".join(lines)):
        return settings_error(host, said)
    if _REVOKED.search(words):
        return AuthenticationError(
            f"the host key of {host} is REVOKED: nobody may use it any more. "
            f"Ask the site for its new one. ssh says: {said}"
        )
    if _CHANGED.search(words):
        return AuthenticationError(
            f"the host key of {host} has CHANGED since it was accepted{shown}: somebody may be in "
            "between. Ask the site; only if it says so, remove the old key with `ssh-keygen -R` and "
            f"accept the new one. ssh says: {said}"
        )
    if _UNKNOWN.search(words):
        return AuthenticationError(
            f"the host key of {host} is not known{shown}. Compare its fingerprint with what the site "
            f"publishes, and accept it once with `ssh {host}`. ssh says: {said}"
        )
    if _REFUSED.search(words):
        nobody = (
            ""
            if has_asked
            else ". Nobody could be asked here; any command of adapter on a terminal "
            "asks, and opens the connection for this one, too"
        )
        return AuthenticationError(
            f"{host} does not let us in: {said.rstrip('.')}. Try `ssh {host}`; no further attempt is "
            f"made, so that the site does not ban you{nobody}"
        )
    silent = "it does not answer: " if _SILENT.search(words) else ""
    last = " / ".join(said_by_ssh(proxy)[-3:])
    why = f" (its ProxyCommand says: {last})" if last else ""
    return ConnectError(f"cannot reach {host}: {silent}{said}{why}")


def settings_error(host: str, words: str) -> AuthenticationError:
    """Return the error for a mistake on this machine, which another attempt does not mend."""
    return AuthenticationError(f"the SSH set-up for {host} is wrong: {words}")
