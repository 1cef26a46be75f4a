#!/bin/sh
# Makes .venv, the folder that `make lab` and `make test` run from, and installs the course into it:
#     sh tools/install.sh        what a learner needs
#     sh tools/install.sh dev    what the tests need too
# Does nothing where that has been done. PYTHON=/path/to/python chooses the Python; else the first one that
# is new enough is taken. uv installs where it is there, since it takes a fraction of pip's time.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
what=.${1:+[$1]}

owner=$(ls -ld "$venv" 2>/dev/null | awk '{print $3}')
if [ -n "$owner" ] && ! [ -w "$venv" ]; then
    cat >&2 <<END
The folder $venv belongs to $owner, and you cannot write to it.
Remove it (as $owner, or with sudo rm -rf $venv), or copy the course to a folder of your own.
END
    exit 1
fi

can() { "$1" -c "$2" >/dev/null 2>&1; }

# What was installed, and where: a changed pyproject.toml, a moved folder or a vanished Python shows here.
here=$(pwd -P)
mark="$here $(cat pyproject.toml tools/install.sh | cksum)"
installed=
if can "$venv/bin/python" ''; then
    installed=$(cat "$venv/.installed" 2>/dev/null || true)
fi
# What the tests need holds what a learner needs.
case $installed in
"$mark $what" | "$mark .[dev]") exit 0 ;;
esac

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3.14 python3.13 python3.12 python3.11 python3 python
fi
python= without_venv=
for each in "$@"; do
    can "$each" 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
    if can "$each" 'import venv, ensurepip'; then
        python=$each
        break
    fi
    without_venv=${without_venv:-$each}
done

if [ -z "$python" ] && [ -n "$without_venv" ]; then
    version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    cat >&2 <<END
Your Python $version lacks its "venv" module, which the course is installed with.
On Debian and Ubuntu it is a package of its own:
    sudo apt install python$version-venv
Then type the same command again.
END
    exit 1
fi
if [ -z "$python" ]; then
    cat >&2 <<END
The course needs Python 3.11 or newer, and there is none among: $*
Install one and type the same command again:
    macOS          brew install python        (or https://www.python.org/downloads/)
    Debian, Ubuntu sudo apt install python3 python3-venv
    Fedora         sudo dnf install python3
A Python that stands elsewhere can be named: PYTHON=/path/to/python3 make lab
The README also says how to use conda, which brings its own Python.
END
    exit 1
fi

uv=$(command -v uv || true)
echo "Installing the course into $venv with $("$python" --version) (once, a minute or two) ..."
case $installed in
"$here "*) ;;
*) if [ -n "$uv" ]; then uv venv --quiet --clear --seed --python "$python" "$venv"; else "$python" -m venv --clear "$venv"; fi ;;
esac
if [ -n "$uv" ]; then
    set -- uv pip install --quiet --python "$venv/bin/python"
else
    set -- "$venv/bin/python" -m pip install --quiet --disable-pip-version-check
fi
if ! "$@" --editable "$what"; then
    cat >&2 <<END

The packages could not be installed; the reason stands above.
Without a network it cannot work this first time. Behind a proxy, set HTTPS_PROXY and try again.
END
    exit 1
fi

echo "$mark $what" > "$venv/.installed"
