"""Run tasks from asyncio code, and see each change as it happens. usage: embed.py [BACKEND]"""

import asyncio
import sys

import adapter


async def main(backend: str) -> None:
    tasks = [adapter.Task(name=f"square of {n}", steps=(adapter.Step(shell=f"echo $(({n} * {n}))"),)) for n in range(4)]
    tasks.append(adapter.Task(name="fails on purpose", steps=(adapter.Step(argv=("sh", "-c", "exit 3")),)))

    def show(event: adapter.Event) -> None:
        print("event:", event.job.task.name if event.job else backend, event.text, file=sys.stderr)

    async with adapter.connect(backend, on_event=show) as executor:
        run = await executor.submit(tasks, name="squares")
        for job in await executor.wait(run):
            text, _ = await executor.read_log(job)
            print(f"{job.task.name}: {text.strip() or job.verdict}")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "local"))
