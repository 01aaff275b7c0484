#!/bin/sh
# Install what redbear-host needs and this machine lacks: Debian packages, and Python ones in .venv.
# Says what it does; silent and quick when nothing is missing.  Run by `make setup`.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 3; }

# Print the lines, as `name` or `name|name`, of which nothing is installed.
missing_packages() {
    wanted=$(sed 's/[ \t]*#.*//; s/[ \t]*|[ \t]*/|/g; /^$/d' tools/debian-packages.txt)
    # shellcheck disable=SC2046  # one word per package
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $(echo "$wanted" | tr '|' ' ') 2>/dev/null |
        awk -v wanted="$wanted" '
            $1 == "ii" || $1 == "hi" { have[$2] }
            END {
                lines = split(wanted, line)
                for (i = 1; i <= lines; i++) {
                    found = 0
                    for (n = split(line[i], name, "|"); n; n--) found += name[n] in have
                    if (!found) print line[i]
                }
            }'
}

# Print of each line the first package that this Debian has, or the first if it has none.
choose_packages() {
    for line in "$@"; do
        chosen=${line%%|*}
        case $line in *\|*)
            for name in $(echo "$line" | tr '|' ' '); do
                apt-cache show "$name" >/dev/null 2>&1 && chosen=$name && break
            done ;;
        esac
        printf '%s ' "$chosen"
    done
}

install_debian_packages() {
    if ! command -v dpkg-query >/dev/null; then
        [ -x "$python" ] && command -v qemu-system-x86_64 >/dev/null ||
            die "this is not a Debian machine: install by hand what tools/debian-packages.txt names"
        return
    fi
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    [ "$(dpkg --print-architecture)" = amd64 ] ||
        die "the labs run on amd64 machines, not on $(dpkg --print-architecture)"
    root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "no sudo here: as root, type: apt-get install --no-install-recommends $(choose_packages $missing)"
        root=sudo
    fi
    $root apt-get update -qq
    # shellcheck disable=SC2086  # one word per line
    packages=$(choose_packages $missing)
    say "installing Debian packages: $packages"
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
