"""A real PostgreSQL for tests: one private server per test session, shared by its workers, gone when the last of them is.

Whoever uses the server holds a shared lock on a file. A guard, which is this file run as a program, waits for the exclusive lock,
which the kernel gives it when every user has ended, however that came about; then it stops the server and removes its folder.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "timezone": "UTC",
}
_TRIES = 3


def programs() -> Path | None:
    """Find the folder with the newest server's programs, None where PostgreSQL is not installed."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    return max(folders, key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0, default=None)


def join(shared: Path, binaries: Path) -> tuple[int, IO[str]]:
    """Use the server of a folder that all users share, and start it when there is none.

    Returns:
        The port on 127.0.0.1 where the superuser `postgres` needs no password, and the lock: closing it ends the use.
    """
    users = (shared / "postgres.users").open("a")
    address = shared / "postgres.port"
    with (shared / "postgres.turn").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while the guard of an earlier server takes it down
        if not address.exists():
            address.write_text(str(_start(shared, binaries)), encoding="utf-8")
    return int(address.read_text(encoding="utf-8")), users


def _start(shared: Path, binaries: Path) -> int:
    home = Path(tempfile.mkdtemp(prefix="snp-", dir="/tmp"))  # short, because it holds a socket, and outside of folders for one user
    account = _account()
    if account:
        os.chown(home, account.pw_uid, account.pw_gid)
    guard = ["sh", "-c", '"$@" &', "sh", sys.executable, __file__, str(shared), str(home)]
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(guard, check=True, start_new_session=True, **silent)
    data = home / "data"
    _run(account, binaries / "initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", data)
    for attempt in range(1, _TRIES + 1):
        port = _free_port()
        options = " ".join(f"-c {name}={value}" for name, value in (_SETTINGS | {"port": port, "unix_socket_directories": home}).items())
        try:
            _run(account, binaries / "pg_ctl", "start", "-w", "-s", "-D", data, "-l", home / "log", "-o", options)
        except subprocess.CalledProcessError:  # somebody took the port meanwhile
            if attempt == _TRIES:
                raise RuntimeError((home / "log").read_text(encoding="utf-8")) from None
        else:
            break
    return port


def _account() -> pwd.struct_passwd | None:
    """Name the account to run as: the server refuses to be root."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def _run(account: pwd.struct_passwd | None, *command: object) -> None:
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    subprocess.run([str(part) for part in command], check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **who)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _guard(shared: Path, home: Path) -> None:
    """Wait until nobody uses the server, then stop it at once and leave nothing behind."""
    with (shared / "postgres.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        pid_file = home / "data" / "postmaster.pid"
        if pid_file.exists():
            pid = int(pid_file.read_text(encoding="utf-8").split()[0])
            os.kill(pid, signal.SIGQUIT)
            for _ in range(100):
                if not Path(f"/proc/{pid}").exists():
                    break
                time.sleep(0.05)
        shutil.rmtree(home, ignore_errors=True)
        (shared / "postgres.port").unlink(missing_ok=True)


if __name__ == "__main__":
    _guard(*map(Path, sys.argv[1:3]))
