#!/bin/sh
# Install what redbear-host needs and this machine lacks: Debian packages, and Python ones in .venv.
# Says what it does; silent and quick when nothing is missing.  Run by `make setup`.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 3; }

missing_packages() {
    wanted=$(sed 's/[ \t]*#.*//; /^$/d' tools/debian-packages.txt)
    # shellcheck disable=SC2086  # one word per package
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null |
        awk -v wanted="$wanted" '
            $1 == "ii" || $1 == "hi" { have[$2] }
            END { n = split(wanted, p); for (i = 1; i <= n; i++) if (!(p[i] in have)) print p[i] }'
}

install_debian_packages() {
    if ! command -v dpkg-query >/dev/null; then
        [ -x "$python" ] && command -v qemu-system-x86_64 >/dev/null ||
            die "this is not a Debian machine: install by hand what tools/debian-packages.txt names"
        return
    fi
    packages=$(missing_packages | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    [ "$(dpkg --print-architecture)" = amd64 ] ||
        die "the labs run on amd64 machines, not on $(dpkg --print-architecture)"
    root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "no sudo here: as root, type: apt-get install --no-install-recommends $packages"
        root=sudo
    fi
    say "installing Debian packages: $packages"
    $root apt-get update -qq
    # shellcheck disable=SC2086  # one word per package
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Use-Pty=0 $packages </dev/null >build/apt.log 2>&1 || {
        tail -n 20 build/apt.log >&2
        die "apt-get could not install them; all it said is in build/apt.log"
    }
}

install_python_packages() {
    [ -x "$python" ] || die "no $python; install Debian's python3, or name another with PYTHON=…"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "redbear-host needs Python 3.11 or newer and $python is $version; Debian 12 and 13 have it"
    # The stamp holds all that .venv depends on: it does not survive a move or a new Python.
    base="$PWD $python $version"
    stamp="$base $(cksum <pyproject.toml)"
    [ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ] || return 0
    say "installing Python packages into .venv (Python $version)"
    clear=
    if [ -e .venv/stamp ]; then
        case $(cat .venv/stamp) in "$base "*) ;; *) clear=--clear ;; esac
    fi
    "$python" -m venv $clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -e '.[dev,input,screen,sound]' ||
        die "pip could not install the Python packages; what it needs is named above"
    printf '%s\n' "$stamp" >.venv/stamp
}

mkdir -p build
install_debian_packages
install_python_packages
