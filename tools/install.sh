#!/bin/sh
# Makes .venv, the folder that `make lab` and `make test` run from, and installs the course into it.
# Does nothing where that has been done. PYTHON=/path/to/python chooses the Python;
# else the first one that is new enough is taken.
set -eu
cd "$(dirname "$0")/.."
venv=.venv

can() { "$1" -c "$2" >/dev/null 2>&1; }

# What was installed, and where: a changed pyproject.toml, a moved folder or a vanished Python shows here.
here=$(pwd -P)
mark="$here $(cat pyproject.toml tools/install.sh | cksum)"
installed=
if can "$venv/bin/python" ''; then
    installed=$(cat "$venv/.installed" 2>/dev/null || true)
fi
if [ "$installed" = "$mark" ]; then
    exit 0
fi

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

echo "Installing the course into $venv with $("$python" --version) (once, a minute or two) ..."
case $installed in
"$here "*) ;;
*) "$python" -m venv --clear "$venv" ;;
esac
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev]"; then
    cat >&2 <<END

The packages could not be installed; the reason stands above.
Without a network it cannot work this first time. Behind a proxy, set HTTPS_PROXY and try again.
END
    exit 1
fi

# JupyterLab would ask a learner about news and updates on its first start.
mkdir -p "$venv/share/jupyter/lab/settings"
cat > "$venv/share/jupyter/lab/settings/overrides.json" <<END
{
  "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}
}
END

echo "$mark" > "$venv/.installed"
