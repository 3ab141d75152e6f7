"""What runs when a simulated scheduler's program is called. Copied beside ``plan.py``; it needs nothing but Python.

It starts for each command, so it imports little. All that it knows lies in its folder, one small file for each job.
There is no daemon: whoever hands a job over starts a worker if a slot is free, and a worker goes on while jobs wait.
"""

# pathlib and contextlib take longer to import than all else here:
# ruff: noqa: PTH100, PTH104, PTH108, PTH109, PTH110, PTH113, PTH116, PTH120, PTH123, PTH208, PLC0415, SIM105
from __future__ import annotations

import fcntl
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

LOOK_S = 0.2
SETTINGS = {
    "SLOTS": "4",
    "DELAY": "0",
    "START": "0",
    "HELD": "0",
    "FORGET": "300",
    "KILL_WAIT": "5",
    "FAIL": "0",
    "FAIL_AFTER": "0",
    "FAIL_AS": "transient",
    "DOWN": "",
    "LOSE": "0",
    "UNKNOWN": "0",
    "NOISE": "0",
}
"""The variables, each as a line ``NAME=value`` of the file ``settings`` or as ``SIMULATE_NAME`` in the environment."""
PREFIX = "SIMULATE_"
Job = dict[str, str]


def main(folder: str, program: str, plan: Mapping[str, Any]) -> int:
    """Answer one call of *program* and return its exit code."""
    return Scheduler(folder, plan).called(program, [_text(word) for word in sys.argv[1:]])


def _text(word: str) -> str:
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Scheduler:
    """The simulated scheduler, as one call sees it."""

    def __init__(self, folder: str, plan: Mapping[str, Any]) -> None:
        self._folder = folder
        self._plan = plan
        self._settings = dict(SETTINGS)
        for line in _read(f"{folder}/settings").splitlines():
            name, _, value = line.partition("=")
            self._settings[name.strip()] = value.strip()
        for name in SETTINGS:
            self._settings[name] = os.environ.get(PREFIX + name, self._settings[name])

    def called(self, program: str, arguments: list[str]) -> int:
        """Do what *program* is called for, and return its exit code."""
        if (delay_s := self._number("DELAY")) > 0:
            time.sleep(delay_s)
        shape = self._shape(program, arguments)
        action = shape["action"] if shape else ""
        if action != "version" and (self._is_down() or _chance(self._number("FAIL"))):
            return self._refuse(self._settings["FAIL_AS"])
        if shape is None:
            _say(2, f"{program}: the simulator knows no such call: {' '.join(arguments)}\n")
            return 64
        if self._number("NOISE"):
            _say(1, "*** Welcome. Maintenance next week. ***\n")
            _say(2, "module: loaded nothing\n")
        return self._do(action, shape, arguments)

    def _do(  # noqa: PLR0911 (one for each action)
        self, action: str, shape: Mapping[str, Any], arguments: list[str]
    ) -> int:
        match action:
            case "submit":
                return self._submit(arguments)
            case "kill":
                return self._killed(self._named(shape, arguments), "TERM")
            case "harder":
                return self._killed(self._named(shape, arguments), "KILL")
            case "version":
                _say(1, self._plan["version"] + "\n")
                return 0
            case "echo":
                for job in self._named(shape, arguments):
                    _say(1, self._filled(self._plan["submit"]["answer"], job))
                return 0
            case "question":
                words = self._plan["queries"]["question"]["kinds"]
                for job in self._named(shape, arguments):
                    _say(1, words.get(self._kind(job), [""])[0] + "\n")
                return 0
        return self._list(action, shape, arguments)

    # -- which call it is

    def _shape(self, program: str, arguments: list[str]) -> dict[str, Any] | None:
        """Return the known call that *arguments* are most like."""
        best, most = None, -1.0
        for shape in self._plan["calls"]:
            if shape["program"] != program or not _in_order(shape["exact"], arguments):
                continue
            if not all(any(word.startswith(begin) for word in arguments) for begin in shape["begins"]):
                continue
            score = len(shape["exact"]) + 0.5 * len(shape["begins"])
            if score > most:
                best, most = shape, score
        return best

    def _named(self, shape: Mapping[str, Any], arguments: list[str]) -> list[Job]:
        """Return the jobs whose ids stand in *arguments*."""
        before, after = self._around_id()
        found: dict[str, Job] = {}
        for argument in arguments:
            if argument in shape["exact"]:
                continue
            for start, end in _numbers(argument):
                job = self._job(argument[start:end]) if argument.endswith(before, 0, start) else None
                if job is not None and (job["state"] == "array" or argument.startswith(after, end)):
                    found.update((each["number"], each) for each in self._these(job, argument[end:]))
        return list(found.values())

    def _around_id(self) -> tuple[str, str]:
        pieces = self._plan["id"]
        at = pieces.index(None)
        return "".join(pieces[:at]), "".join(pieces[at + 1 :])

    # -- faults

    def _number(self, name: str) -> float:
        return float(self._settings[name] or 0)

    def _is_down(self) -> bool:
        """Whether it is: ``DOWN`` is FROM:FOR, in seconds after the folder was made; or there is a file ``down``."""
        if os.path.exists(f"{self._folder}/down"):
            return True
        if not self._settings["DOWN"]:
            return False
        start, _, length = self._settings["DOWN"].partition(":")
        since = time.time() - os.stat(f"{self._folder}/born").st_mtime
        return float(start) <= since < float(start) + float(length or 0)

    def _refuse(self, kind: str) -> int:
        _say(2, self._plan["errors"].get(kind, "the scheduler does not answer") + "\n")
        return 1

    # -- submit

    def _submit(self, arguments: list[str]) -> int:
        script = self._script(arguments)
        if script is None:
            _say(2, "the simulator finds no script in this call\n")
            return 64
        now = time.time()
        size = self._array_size(script, arguments)
        if size < 0:
            return self._refuse("permanent")
        with self._locked():
            number = str(int(_read(f"{self._folder}/next") or self._plan["first"]))
            _write(f"{self._folder}/next", str(int(number) + 1))
            if self._plan["submit"]["by"] == "stdin":
                script = f"{self._folder}/scripts/{number}"
                _write(script, self._body)
            text = _read(script) if self._plan["submit"]["by"] != "stdin" else self._body
            asked = self._asked(text, arguments)
            job = {
                "number": number,
                "token": _mark(self._plan["token"], " ".join(arguments) + "\n" + text),
                "state": "lost" if _chance(self._number("LOSE")) else "queued",
                "script": script,
                "cwd": os.getcwd(),
                "submitted": f"{now:.3f}",
                "limit": str(_walltime(self._plan["walltime"], text, arguments) or ""),
                "unknown": "1" if _chance(self._number("UNKNOWN")) else "",
            }
            for how, mark in self._plan["after"].items():
                job[how] = " ".join(self._ids_after(mark, asked))
            if size:
                job["whole"] = number + self._plan["array"]["whole"]
            self._note(f"submitted {number} {job['token']}")
            jobs = self._elements(job, size) if size else [job]
            self._keep({**job, "state": "array", "size": str(size)} if size else job)
            for each in jobs:
                self._keep(each)
                if each["state"] == "queued":
                    self._line_up(each)
            workers: list[int] = []
            while len(workers) < len(jobs) and (slot := self._free_slot()) is not None:
                workers.append(slot)
        for worker in tuple(workers):
            self._start_worker(worker, workers)
        if _chance(self._number("FAIL_AFTER")):  # it has the job, and the answer is lost
            return self._refuse(self._settings["FAIL_AS"])
        _say(1, self._filled(self._plan["submit"]["answer"], job))
        return 0

    def _line_up(self, job: Job) -> None:
        """Put *job* into the queue, or aside while it waits for others; one that waits for ever is stuck."""
        turn = self._turn(job)
        if turn == "wait":
            _write(f"{self._folder}/waiting/{job['number']}", "")
        elif turn == "now":
            _append(f"{self._folder}/queue", f"{job['number']}\n")
        else:  # some schedulers keep such a job in the queue for ever
            state = "stuck" if self._plan["stuck"] else "ended"
            self._keep({**job, "state": state, "why": "dependency", "ended": f"{time.time():.3f}"})

    def _turn(self, job: Job) -> str:
        for how in ("succeeded", "ended"):
            for number in job.get(how, "").split():
                parent = self._job(number)
                for other in self._these(parent, "") if parent else ():
                    if other["state"] != "ended":
                        return "wait"
                    if how == "succeeded" and other.get("why") != "succeeded":
                        return "never"
        return "now"

    def _recall(self) -> None:
        """Line up anew what waits for others: one of them has ended."""
        again = True
        while again:
            again = False
            for number in os.listdir(f"{self._folder}/waiting"):
                job = self._job(number)
                if not job or job["state"] != "queued":
                    os.unlink(f"{self._folder}/waiting/{number}")
                elif self._turn(job) != "wait":
                    os.unlink(f"{self._folder}/waiting/{number}")
                    self._line_up(job)
                    again = True

    def _asked(self, text: str, arguments: list[str]) -> str:
        """Return what was asked for: the arguments, and the lines of the script that the scheduler reads."""
        prefix = self._plan["prefix"]
        lines = [line for line in text.splitlines() if prefix and line.startswith(prefix + " ")]
        return "\n".join([*lines, *arguments, " ".join(arguments)])

    def _array_size(self, script: str, arguments: list[str]) -> int:
        """Return how many elements are asked for, 0 for a job by itself, -1 for what cannot be done."""
        array = self._plan["array"]
        if not array:
            return 0
        asked = "\n" + self._asked(self._body or _read(script), arguments)
        _, there, behind = asked.partition("\n" + array["begin"])
        if not there:
            return 0
        number = behind.split("\n")[0].split(" ")[0]
        return int(number) + int(array["more"]) if "more" in array and number.isdigit() else -1

    def _elements(self, job: Job, size: int) -> list[Job]:
        array = self._plan["array"]
        elements = []
        for index in range(array["first"], array["first"] + size):
            shown = f"{job['number']}{array['before']}{index}{array['after']}"
            elements.append({**job, "number": f"{job['number']}.{index}", "index": str(index), "shown": shown})
        return elements

    def _these(self, job: Job, text: str) -> list[Job]:
        """Return *job*; of an array the element whose index begins *text*, or all."""
        if job["state"] != "array":
            return [job]
        array = self._plan["array"]
        first, size = int(array["first"]), int(job["size"])
        wanted = [str(index) for index in range(first, first + size)]
        before = array["before"]
        if text.startswith(before) and text[len(before) : len(before) + 1].isdigit():
            wanted = [text[len(before) :][: next(_numbers(text[len(before) :]))[1]]]
        return [each for index in wanted if (each := self._job(f"{job['number']}.{index}"))]

    def _ids_after(self, mark: str, asked: str) -> list[str]:
        """Return the numbers of the jobs whose ids stand behind *mark*."""
        found: dict[str, None] = {}
        at = asked.find(mark)
        while at >= 0:
            start = end = at + len(mark)
            while end < len(asked) and asked[end] not in " \n" and not asked[end].isalpha():
                end += 1
            for first, last in _numbers(asked[start:end]):
                number = asked[start:end][first:last]
                if self._job(number):
                    found[number] = None
            at = asked.find(mark, end)
        return list(found)

    _body = ""

    def _script(self, arguments: list[str]) -> str | None:
        by = self._plan["submit"]["by"]
        if by == "stdin":
            self._body = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
            return ""
        for argument in reversed(arguments):
            if argument.startswith("-") or not os.path.isfile(argument):
                continue
            if by == "argument":
                return os.path.abspath(argument)
            words = _read(argument).replace('"', " ").replace("'", " ").split()
            return next((word for word in words if word.startswith("/") and os.path.isfile(word)), None)
        return None

    # -- queries

    def _list(self, action: str, shape: Mapping[str, Any], arguments: list[str]) -> int:
        query = self._plan["queries"].get(action)
        if query is None:
            return 0
        asked = self._named(shape, arguments) if shape["ids"] else list(self._all())
        if action == "find" and (marks := _marks(self._plan["token"], arguments)):
            asked = [job for job in self._all() if job["token"] in marks]
        shown = [job for job in asked if self._is_shown(job, action)]
        if "codes" in query:
            codes = [query["codes"].get(self._kind(job)) for job in shown]
            return next((int(code) for code in codes if code is not None), int(query["gone"]))
        kinds, whole = query["kinds"], action == "find"  # an array is found by the id that submit answered
        rows = [
            self._filled(kinds[kind], {**job, "shown": ""} if whole else job, query["decode"])
            for job in shown
            if (kind := "any" if "any" in kinds else self._kind(job, query)) in kinds
        ]
        if not rows and shape["ids"] and not asked and action != "find":
            return self._gone()
        if rows or query["between"] != "\n" or query["head"]:
            _say(1, query["head"] + query["between"].join(rows) + query["tail"])
        return 0

    def _gone(self) -> int:
        if "gone" not in self._plan["errors"]:
            return 0
        return self._refuse("gone")

    def _is_shown(self, job: Job, action: str) -> bool:
        if job["state"] == "lost":
            return False
        if job["state"] != "ended":
            return action != "result"
        return action == "result" or time.time() - float(job["ended"]) < self._number("FORGET")

    def _kind(self, job: Job, query: Mapping[str, Any] | None = None) -> str:
        if job.get("unknown") and job["state"] in {"queued", "running"} and query and "unknown" in query["kinds"]:
            return "unknown"
        if job["state"] == "queued" and time.time() - float(job["submitted"]) < self._number("HELD"):
            return "held" if query is None or "held" in query["kinds"] else "queued"
        return job["why"] if job["state"] in {"ended", "stuck"} else job["state"]

    def _filled(self, pieces: list[Any], job: Job, decode: str = "plain") -> str:
        code, signal = int(job.get("code") or 0), int(job.get("signal") or 0)
        shown, apart = _encoded(decode, code, signal)
        wall = float(job.get("ended") or 0) - float(job.get("started") or 0) if job.get("started") else 0
        values = {
            "number": job.get("shown") or job.get("whole") or job["number"],
            "token": job["token"],
            "exit_code": str(shown),
            "signal": str(apart),
            "wall": str(max(0, int(wall))),
        }
        return "".join(piece if isinstance(piece, str) else values[piece[0]] for piece in pieces)

    # -- kill

    def _killed(self, jobs: list[Job], how: str) -> int:
        """Kill *jobs*, and say so where there was nothing to kill."""
        return 0 if self._kill(jobs, how) else self._gone()

    def _kill(self, jobs: list[Job], how: str) -> int:
        """Kill *jobs*; return how many had not ended yet."""
        ended = 0
        for each in jobs:
            with self._locked():
                job = self._job(each["number"]) or each
                if job["state"] in {"queued", "stuck"}:
                    self._keep(
                        {**job, "state": "ended", "why": "killed", "ended": f"{time.time():.3f}", "signal": "15"}
                    )
                    self._recall()
                elif job["state"] == "running":
                    self._keep({**job, "kill": job.get("kill") or f"{time.time():.3f}"})
                    _signal_group(int(job["group"]), how)
                else:
                    ended += 1
        return len(jobs) - ended

    def stop(self, within_s: float) -> None:
        """End all jobs, and wait until no worker is left."""
        jobs = [job for job in self._all() if job["state"] in {"queued", "running", "stuck"}]
        self._kill([job for job in jobs if job["state"] != "running"], "KILL")
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            self._kill([job for job in self._all() if job["state"] == "running"], "KILL")
            slots = [
                slot for name in os.listdir(f"{self._folder}/slots") if (slot := self._lock_of(int(name))) is not None
            ]
            all_free = len(slots) == len(os.listdir(f"{self._folder}/slots"))
            for slot in slots:
                os.close(slot)
            if all_free:
                return
            time.sleep(LOOK_S / 4)

    # -- workers

    def _free_slot(self) -> int | None:
        """Return a slot, locked by whoever has the number that is returned; ``None`` if all are taken."""
        for slot in range(max(1, int(self._number("SLOTS")))):
            if (lock := self._lock_of(slot)) is not None:
                return lock
        return None

    def _lock_of(self, slot: int) -> int | None:
        lock = os.open(f"{self._folder}/slots/{slot}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    def _start_worker(self, slot: int, others: list[int]) -> None:
        if os.fork():
            os.close(slot)
            others.remove(slot)
            return
        try:
            for other in others:
                if other != slot:
                    os.close(other)
            if os.fork():
                os._exit(0)
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            self._work(slot)
        finally:
            os._exit(0)

    def _work(self, slot: int) -> None:
        """Run jobs, one after the other, until none waits."""
        while True:
            with self._locked():
                job = self._next()
                if job is None:
                    os.close(slot)
                    return
            wait_s = float(job["submitted"]) + self._number("START") + self._number("HELD") - time.time()
            if wait_s > 0:
                time.sleep(wait_s)
            self._run(job["number"])

    def _next(self) -> Job | None:
        """Return the job that has waited longest, taken off the queue."""
        taken = int(_read(f"{self._folder}/taken") or 0)
        with open(f"{self._folder}/queue", encoding="ascii") as queue:
            queue.seek(taken)
            while line := queue.readline():
                taken += len(line)
                job = self._job(line.strip())
                if job and job["state"] == "queued":
                    _write(f"{self._folder}/taken", str(taken))
                    return job
        _write(f"{self._folder}/taken", str(taken))
        return None

    def _run(self, number: str) -> None:
        with self._locked():
            job = self._job(number)
            if job is None or job["state"] != "queued":
                return
            began = time.time()
            process = os.fork()
            if not process:
                self._become(job)
            try:
                os.setpgid(process, process)
            except OSError:
                pass
            job |= {"state": "running", "group": str(process), "started": f"{began:.3f}"}
            self._keep(job)
            self._note(f"started {number} {job['token']}")
        ends_at = began + float(job["limit"]) if job["limit"] else None
        code, signal, why = self._watch(number, process, ends_at)
        with self._locked():
            job = self._job(number) or job
            why = why or ("killed" if job.get("kill") else "succeeded" if (code, signal) == (0, 0) else "failed")
            now = f"{time.time():.3f}"
            self._keep({**job, "state": "ended", "why": why, "ended": now, "code": str(code), "signal": str(signal)})
            self._recall()
            self._note(f"ended {number} {job['token']} {why} {code} {signal}")

    def _watch(self, number: str, process: int, ends_at: float | None) -> tuple[int, int, str]:
        """Wait for the end of a job; end it where its time is over, or where a kill is not heeded."""
        import select

        watched, poll, why = os.pidfd_open(process), select.poll(), ""
        poll.register(watched, select.POLLIN)
        over_at = None
        while not poll.poll(LOOK_S * 1000):
            now = time.time()
            if ends_at is not None and now >= ends_at and not why:
                why, over_at = "time_limit", now
                _signal_group(process, "TERM")
            killed = (self._job(number) or {}).get("kill")
            since = over_at if over_at is not None else float(killed) if killed else None
            if since is not None and now - since > self._number("KILL_WAIT"):
                _signal_group(process, "KILL")
        os.close(watched)
        _, status = os.waitpid(process, 0)
        return (0, os.WTERMSIG(status), why) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), 0, why)

    def _become(self, job: Job) -> None:
        """Become the job: in a group of its own, with what it learns its id by."""
        try:
            import signal

            os.setpgid(0, 0)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and a job would go on to
            before, after = self._around_id()
            number = job.get("shown") or job["number"]
            if job.get("shown"):
                os.environ[self._plan["array"]["index"]] = job["index"]
                if self._plan["array"]["inside"] == "whole":
                    number = job["whole"]
            for name in self._plan["inside"]:
                os.environ[name] = before + number + after
            for name in SETTINGS:
                os.environ.pop(PREFIX + name, None)
            os.chdir(job["cwd"])
            folder = os.path.dirname(job["script"])
            log = f"{folder}/{job['number']}.log" if folder.startswith(self._folder) else f"{folder}/scheduler.log"
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.execv("/bin/sh", ["sh", job["script"]])  # noqa: S606 (that is what a scheduler does)
        finally:
            os._exit(71)

    # -- what is kept

    def _locked(self) -> _Lock:
        return _Lock(f"{self._folder}/lock")

    def _job(self, number: str) -> Job | None:
        text = _read(f"{self._folder}/jobs/{number}")
        if not text:
            return None
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def _all(self) -> Iterator[Job]:
        for name in sorted(os.listdir(f"{self._folder}/jobs")):
            if not name.endswith(".part") and (job := self._job(name)) and job["state"] != "array":
                yield job

    def _keep(self, job: Job) -> None:
        _write(f"{self._folder}/jobs/{job['number']}", "".join(f"{name}={value}\n" for name, value in job.items()))

    def _note(self, line: str) -> None:
        _append(f"{self._folder}/ledger", line + "\n")


class _Lock:
    """One at a time, over all processes."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _signal_group(group: int, name: str) -> None:
    try:
        os.killpg(group, {"TERM": 15, "KILL": 9}[name])
    except OSError:
        pass


def _read(path: str) -> str:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(file, 1 << 16):
            parts.append(part)
    finally:
        os.close(file)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _write(path: str, text: str) -> None:
    """Write *text* in one move, so that nobody reads half of it."""
    part = f"{path}.{os.getpid()}.part"
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(file, text.encode("utf-8", "surrogateescape"))
    os.close(file)
    os.rename(part, path)


def _append(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, text.encode("utf-8", "surrogateescape"))
    os.close(file)


def _say(stream: int, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(stream, data) :]
    except OSError:
        pass


def _chance(share: float) -> bool:
    return share > 0 and int.from_bytes(os.urandom(4), "big") / 2**32 < share


def _encoded(decode: str, code: int, signal: int) -> tuple[str, int]:
    """Return an exit code in a scheduler's words, the opposite of decoding it, and the signal that is told apart."""
    if decode == "code_signal":
        return f"{code}:{signal}", 0
    if decode == "wait_status":
        return str(code << 8 | signal), 0
    if decode == "plus_256":
        return str(256 + signal if signal else code), 0
    if decode == "plus_128":
        return str(128 + signal if signal else code), 0
    return str(code), signal


def _in_order(words: list[str], arguments: list[str]) -> bool:
    left = iter(arguments)
    return all(word in left for word in words)


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    """Yield where whole numbers begin and end in *text*."""
    start = None
    for at, letter in enumerate(text + " "):
        if "0" <= letter <= "9":
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None


def _mark(prefix: str, text: str) -> str:
    """Return the first word in *text* that begins with *prefix*, with a dash and a digit in it."""
    at = text.find(prefix)
    while at >= 0:
        end = at + len(prefix)
        while end < len(text) and (text[end].isalnum() or text[end] in "-_."):
            end += 1
        if text[at:end].count("-") >= 3:
            return text[at:end]
        at = text.find(prefix, at + 1)
    return ""


def _marks(prefix: str, arguments: list[str]) -> set[str]:
    return {mark for argument in arguments if (mark := _mark(prefix, argument))}


def _walltime(where: Mapping[str, str] | None, text: str, arguments: list[str]) -> float | None:
    """Return the walltime in seconds that was asked for, ``None`` if none was."""
    if where is None:
        return None
    if where["where"] == "script":
        head = "\n" + text
        at = head.find("\n" + where["before"])
        at = at + 1 if at >= 0 else -1
    else:
        head = " ".join(arguments)
        at = head.find(where["before"])
    if at < 0:
        return None
    start = end = at + len(where["before"])
    while end < len(head) and head[end] in "0123456789:-":
        end += 1
    written = head[start:end].strip("-:")
    if where["unit"] == "clock":
        days, _, rest = written.rpartition("-")
        total = int(days or 0) * 24
        for part in rest.split(":"):
            total = total * 60 + int(part or 0) if part is not rest.split(":")[0] else total + int(part or 0)
        return float(total)
    return float(written) * {"seconds": 1, "minutes": 60}[where["unit"]] if written.isdigit() else None
