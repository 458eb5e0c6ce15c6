"""Debian's PostgreSQL for a test: on loopback, on a free port, in a folder of its own, under its own user."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Server", "free_port", "programs"]

USER = "postgres"  # made by Debian's package; the server refuses to run as root
PACKAGE = "postgresql"
SECONDS = 60.0


def programs() -> Path:
    """The folder of PostgreSQL's programs; installs Debian's package if it is missing and we may.

    Raises:
        RuntimeError: It is missing and cannot be installed from here.
    """
    if (found := _found()) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(
            f"PostgreSQL must be installed for this session. On Debian or Ubuntu: sudo apt-get install {PACKAGE}"
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", PACKAGE]):
        subprocess.run(["apt-get", "-qq", *command], check=True, env=environment, stdout=subprocess.DEVNULL)
    if (found := _found()) is None:
        raise RuntimeError(
            f"PostgreSQL must come with the package {PACKAGE}, but initdb is nowhere under /usr/lib."
        )
    return found


def _found() -> Path | None:
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")  # where Debian keeps it, off the PATH
    debian = sorted(versions, key=lambda path: float(path.parts[-3]))
    return debian[-1].parent if debian else Path(where).parent if (where := shutil.which("initdb")) else None


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A server that can be killed and started again."""

    def __init__(self) -> None:
        self._programs = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="ncps-mlx-postgresql-"))
        self.port = free_port()
        password = secrets.token_urlsafe(16)
        self.url = f"postgresql://ncps:{password}@127.0.0.1:{self.port}/postgres"
        self._own: dict[str, Any] = {"cwd": self._folder, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}}
        self._password = password
        self._server: subprocess.Popen[Any] | None = None

    def _make(self) -> None:
        """Hand the folder to the server's user, and make the database in it."""
        secret = self._folder / "password"
        secret.write_text(self._password)
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            for path in (self._folder, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
            self._own |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        settings = ["--username=ncps", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8"]
        self._run("initdb", f"--pgdata={self._folder / 'data'}", *settings)

    def _run(self, program: str, *arguments: str) -> int:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, check=False, **self._own
        )
        if done.returncode and program == "initdb":
            raise RuntimeError(f"initdb failed: {done.stderr}")
        return done.returncode

    def start(self) -> None:
        """Start it, and wait until it answers."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:  # after a kill, its children may still hold its memory for a moment
            command: list[str | Path] = [
                self._programs / "postgres",
                "-D",
                self._folder / "data",
                "-p",
                str(self.port),
            ]
            command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"]
            with (self._folder / "log").open("ab") as log:
                server = subprocess.Popen(command, stdout=log, stderr=log, **self._own)
            self._server = server
            while server.poll() is None and time.monotonic() < until:
                if not self._run("pg_isready", "--host=127.0.0.1", f"--port={self.port}"):
                    return
                time.sleep(0.1)
        raise RuntimeError(f"postgres did not start: {(self._folder / 'log').read_text()}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._stop(signal.SIGKILL)

    def _stop(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(SECONDS)
            self._server = None

    def __enter__(self) -> Server:
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(signal.SIGINT)  # its fast way to stop
        shutil.rmtree(self._folder)
