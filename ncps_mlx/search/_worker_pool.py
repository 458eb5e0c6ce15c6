"""Several workers on this machine, started and watched by the process that wants their results.

They are new processes, never forks (MLX and its BLAS hold threads), each the same program that runs on other machines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from ncps_mlx._utils.progress import log
from ncps_mlx.search._worker import WorkerSettings

__all__ = ["WorkerPool"]

STOP_SECONDS = 20.0  # that a worker may take to put back what it trains


class WorkerPool:
    """Workers that stop when this process stops, even if it is killed.

    Each reads the storage's URL from its standard input (so that no password shows among the processes) and stops when
    that closes.
    """

    def __init__(self, storage: str | Path, name: str, workers: int, settings: WorkerSettings) -> None:
        self._logs: list[IO[bytes]] = []
        self._workers: list[subprocess.Popen[bytes]] = []
        self._reported: set[int] = set()
        command = [sys.executable, "-m", "ncps_mlx", "worker", "--quiet", *settings.options()]
        command += ["--", "-", name]  # which may begin with a dash
        paths = os.pathsep.join(path or "." for path in sys.path)
        environment = {"OPENBLAS_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": paths}
        try:
            for _ in range(workers):
                file = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
                self._logs.append(file)
                worker = subprocess.Popen(
                    command,
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is for this process, which then stops them one by one
                )
                self._workers.append(worker)
                if worker.stdin is not None:
                    with suppress(BrokenPipeError):  # it has ended already: its last words say why
                        worker.stdin.write(f"{storage}\n".encode())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def running(self) -> bool:
        """Whether any of them still runs; says so once of each that failed while others go on."""
        for number, worker in enumerate(self._workers):
            if worker.poll() not in (None, 0) and number not in self._reported:
                self._reported.add(number)
                log(f"Worker {number + 1} stopped: {self._last_words(number)}")
        return any(worker.poll() is None for worker in self._workers)

    def error(self) -> str:
        """The last words of the workers that failed."""
        failed = [number for number, worker in enumerate(self._workers) if worker.poll() not in (None, 0)]
        return " ".join(dict.fromkeys(self._last_words(number) for number in failed))

    def _last_words(self, number: int) -> str:
        code = self._workers[number].poll()
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}."
        file = self._logs[number]
        file.seek(0)
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {code}."

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.stdin is not None and not worker.stdin.closed:
                worker.stdin.close()
        for worker in self._workers:
            try:
                worker.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        for file in self._logs:
            file.close()
