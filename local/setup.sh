#!/usr/bin/env bash
# Installs what is missing, and nothing twice: Debian packages, .venv, the npm programs of the stack.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin  # ldconfig, which is not on everybody's

say() { printf '  %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

missing_packages() {
    command -v blastn >/dev/null || echo ncbi-blast+
    [ -e /usr/share/ncbi/data/Combined16SrRNA.nsq ] || echo ncbi-rrna-data
    command -v bwrap >/dev/null || echo bubblewrap
    command -v vmtouch >/dev/null || echo vmtouch
    ldconfig -p | grep 'libsecret-1\.so\.0' >/dev/null || echo libsecret-1-0
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

install_packages() {
    local packages as_root=()
    packages=$(missing_packages | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "as root, run: apt-get install $packages"
        as_root=(sudo)
    fi
    say "installing Debian packages: $packages"
    "${as_root[@]}" apt-get update -qq
    # shellcheck disable=SC2086 # one word per package
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

# The stamp names what was installed: a changed pin installs again, a killed run leaves no stamp.
fresh() { [ -e "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# pip, with one short line for each package as it comes.
pip_install() {
    .venv/bin/python -m pip --disable-pip-version-check install "$@" | sed -un 's/^Collecting \([^ ;]*\).*/    \1/p'
}

install_python() {
    local wanted stamp=.venv/.installed
    wanted=$(cat requirements*.txt constraints.txt | sha256sum)
    fresh $stamp "$wanted" && return 0
    python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
        fail "python3 is $(python3 --version); install Python 3.11 and put it first on PATH"
    say "installing Python packages into .venv"
    rm -f $stamp
    [ -x .venv/bin/python ] || python3 -m venv .venv
    pip_install --requirement requirements-dev.txt --constraint constraints.txt
    # The production worker library: says Python 3.13, runs on 3.11; see requirements-worker.txt.
    pip_install --ignore-requires-python --no-deps --requirement requirements-worker.txt
    echo "$wanted" >$stamp
}

install_npm() {
    local wanted stamp=local/npm/node_modules/.installed
    wanted=$(sha256sum <local/npm/package-lock.json)
    fresh $stamp "$wanted" && return 0
    command -v node >/dev/null || fail "node is missing; install Node.js 20 with npm"
    say "installing Azurite and azcopy from npm"
    npm ci --prefix local/npm --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    chmod +x local/npm/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64
    echo "$wanted" >$stamp
}

install_packages
install_python
install_npm
