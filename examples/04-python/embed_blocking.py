"""The same without asyncio: a Session for several steps, run() for one. usage: embed_blocking.py [BACKEND]"""

import sys

import adapter

backend = sys.argv[1] if len(sys.argv) > 1 else "local"
tasks = [adapter.Task(name=f"square of {n}", steps=(adapter.Step(shell=f"echo $(({n} * {n}))"),)) for n in range(4)]

with adapter.Session(backend) as session:
    run = session.submit(tasks, name="squares")
    for job in session.wait(run, timeout_s=600):
        print(f"{job.task.name}: {session.read_log(job).strip()}")

failing = adapter.Task(name="fails on purpose", steps=(adapter.Step(argv=("sh", "-c", "exit 3")),))
[job] = adapter.run(failing, on=backend)
try:
    job.raise_unless_succeeded()
except adapter.AdapterError as error:
    print(f"{type(error).__name__}: {job.task.name}, exit code {job.exit_code}")
