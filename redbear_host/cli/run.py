"""`redbear-host run`: a command that sees some of the schemes and cannot reach the others."""

from __future__ import annotations

import argparse
import os
import pwd
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redbear_host import config
from redbear_host.cli.arguments import path_argument
from redbear_host.errors import ConfigError
from redbear_host.namespace import build, login, names, typed
from redbear_host.namespace.build import Instance

HELP: Final = "run a command that sees only some of the schemes"

_HARMLESS_NODES: Final = tuple(os.makedev(1, minor) for minor in (3, 5, 7, 8, 9))  # null, zero, …
_STREAMS: Final = ("standard input", "standard output", "standard error")
_CANNOT_START: Final = {2: 127}  # ENOENT, as shells tell it; all else is 126


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--schemes",
        metavar="LIST",
        help="the schemes it sees, such as rand,log,disk*; default: what login_schemes.toml says",
    )
    which.add_argument(
        "--null", action="store_true", help="no scheme but memory and pipe: Redox's null namespace"
    )
    add("--user", metavar="NAME", help="run it as this user")
    add(
        "--write",
        action="append",
        default=[],
        type=path_argument,
        metavar="DIR",
        help="let it write below this folder of the machine; may be repeated",
    )
    add(
        "--login-schemes",
        type=path_argument,
        metavar="FILE",
        help=f"default: {login.ETC}, else our own",
    )
    add("--mount", type=path_argument, metavar="DIR", help="where the schemes are mounted")
    add(
        "--run-dir",
        type=path_argument,
        default=config.RUN_DIR,
        metavar="DIR",
        help="default: %(default)s",
    )
    add("command", nargs=argparse.REMAINDER, metavar="-- CMD …", help="what to run")


def run(args: argparse.Namespace) -> int:
    """Run it; its exit status is ours, 128 + n if signal n ended it."""
    from redbear_host.namespace.caller import Caller, NotStarted
    from redbear_host.namespace.confine import Room
    from redbear_host.namespace.session import Command

    arguments = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not arguments:
        raise ConfigError("there is no command to run", "redbear-host run --schemes rand -- sh")
    if os.geteuid() != 0:
        raise ConfigError("redbear-host run needs root, for mount(2)", "run it with sudo")
    instance = _instance(args)
    user = _user(args.user)
    granted = _granted(args, instance, user)
    _check_streams(instance, granted)
    folder = _folder(instance, args.write, granted)
    writable = [_writable(path) for path in args.write]
    room = Room(instance, granted, writable, _terminal_node())
    environment = _environment(instance, user)
    sys.stdout.flush()
    command = Command(list(arguments), environment, folder, user)
    try:
        return Caller(room, command).run()
    except NotStarted as error:
        print(f"redbear-host: {arguments[0]} cannot be started: {error}", file=sys.stderr)
        return _CANNOT_START.get(error.errno, 126)


def _instance(args: argparse.Namespace) -> Instance:
    from kernel_shim.rundir import RunDir

    run_dir = args.run_dir.resolve()
    state: dict[str, Any] = RunDir(run_dir).read()
    if not state:
        raise ConfigError("redbear-host is not up", "start it with: redbear-host up")
    mount = Path(state["mount"])
    if args.mount is not None and args.mount.resolve() != mount:
        raise ConfigError(
            f"the schemes of {run_dir} are mounted on {mount}, not on {args.mount}",
            "leave --mount out, or name the other instance's --run-dir",
        )
    return Instance(mount, run_dir)


def _user(name: str | None) -> pwd.struct_passwd | None:
    if name is None:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"there is no user {name!r}", "getent passwd lists them") from None


def _granted(
    args: argparse.Namespace, instance: Instance, user: pwd.struct_passwd | None
) -> tuple[str, ...]:
    there = build.schemes(instance)
    if args.null:
        return names.known(names.NULL, there)
    if args.schemes is not None:
        return typed.select_or_say(typed.parse(args.schemes), there)
    lists = login.load(args.login_schemes)
    return names.known(lists.of(user.pw_name if user else "root"), there)


def _folder(instance: Instance, writable: Sequence[Path], granted: Sequence[str]) -> Path:
    """Return the working directory; `ConfigError` if it will not be there inside."""
    from redbear_host.namespace.confine import OWN

    here = Path.cwd()
    if any(here == path or path in here.parents for path in map(Path.absolute, writable)):
        return here
    if instance.mount in here.parents:
        scheme = here.relative_to(instance.mount).parts[0]
        if scheme not in granted:
            raise ConfigError(
                f"the working directory {here} is of the scheme {scheme!r}, which is not granted",
                f"go elsewhere first, or add {scheme} to --schemes",
            )
    for path in (*OWN, *(Path(name) for name in ("/dev", "/proc", "/sys")), instance.run_dir):
        if here == path or path in here.parents:
            raise ConfigError(
                f"the working directory {here} is not there inside: {path} is the command's own",
                f"go elsewhere first, or add: --write {here}",
            )
    return here


def _writable(path: Path) -> Path:
    folder = path.resolve()
    if not folder.is_dir():
        raise ConfigError(f"--write {path}: there is no such folder", f"mkdir -p {path}")
    if folder == Path("/"):
        raise ConfigError("--write /: that would be everything", "name the folders it is to write")
    return folder


def _terminal_node() -> str:
    return os.ttyname(0) if os.isatty(0) else ""


def _environment(instance: Instance, user: pwd.struct_passwd | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment["REDBEAR_SCHEME"] = str(instance.mount)
    environment["REDBEAR_RINGS"] = str(instance.run_dir / "ring")
    if user is not None:
        environment |= {
            "HOME": user.pw_dir,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell,
            "USER": user.pw_name,
        }
    return environment


def _check_streams(instance: Instance, granted: Sequence[str]) -> None:
    """Refuse a standard stream that would be a way out.

    An open folder leads to all that is below and above it, an open device to hardware, and an open
    file of a scheme to that scheme.
    """
    from schemefs.mount import FSTYPE, all_mounts

    mounts = {mount.number: mount for mount in all_mounts()}
    for fd, stream in enumerate(_STREAMS):
        info = Path(f"/proc/self/fdinfo/{fd}").read_text()
        number = int(info.split("mnt_id:")[1].split()[0])
        mount = mounts.get(number)
        if mount is not None and mount.kind == FSTYPE:
            ours = mount.point.parent == instance.mount
            if not ours or mount.point.name not in granted:
                raise ConfigError(
                    f"{stream} is open on {mount.point}, which is not granted",
                    "send it elsewhere, or add the scheme to --schemes",
                )
        found = os.fstat(fd)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            raise ConfigError(f"{stream} is an open folder: it leads out", "send it elsewhere")
        harmless = os.isatty(fd) or found.st_rdev in _HARMLESS_NODES
        if kind == stat.S_IFBLK or (kind == stat.S_IFCHR and not harmless):
            raise ConfigError(f"{stream} is a device: it leads to hardware", "send it elsewhere")
