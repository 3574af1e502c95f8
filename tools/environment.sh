# Creates or reuses .venv for quickstart.sh and test.sh. Source it in the root of the
# checkout, then call the function below; `python` is then the interpreter of .venv.
#
#   make_environment EXTRAS      for example "" or "[test]"

say() { printf '\n== %s\n' "$*"; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.10 python3 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' \
        >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  cat >&2 <<'TEXT'
error: tfstyle needs Python 3.10 or 3.11 (TensorFlow 2.15 has no build for others), and
neither was found. Install one of them, for example:
  Debian, Ubuntu:  apt-get install python3.11 python3.11-venv
  macOS:           brew install python@3.11
  anywhere:        pyenv install 3.11    or    conda create -n tfstyle python=3.11
or set its path: PYTHON=/path/to/python3.11 bash tools/quickstart.sh
TEXT
  return 1
}

make_environment() {
  local extras=$1 python digest stamp
  # A change of these files makes an existing environment out of date.
  digest=$(cat setup.cfg pyproject.toml tools/constraints.txt | cksum)
  stamp=.venv/.tfstyle-installed
  if [ -x .venv/bin/python ] && grep -qxF "$extras $digest" "$stamp" 2>/dev/null; then
    say "using the environment in .venv"
  else
    python=$(find_python) || exit 1
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c \
        'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))'; then
      say "creating .venv with $python"
      if ! "$python" -m venv --clear .venv; then
        echo "error: $python cannot create environments; install its venv module" \
          "(Debian, Ubuntu: apt-get install python3-venv)" >&2
        exit 1
      fi
    fi
    say "installing tfstyle and its pinned requirements (about 1.5 GB, only once)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --constraint tools/constraints.txt --editable ".$extras"
    echo "$extras $digest" >>"$stamp"
  fi
  PATH=$PWD/.venv/bin:$PATH
  export PATH
}
