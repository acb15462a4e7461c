#!/bin/sh
# Installs the other contestants of the bench: FastStream in an environment of its own, and Camel
# where Maven answers. What cannot be had is told and left out; the race goes on without it.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
venv=.venv/bench
camel=$PWD/.venv/camel

if ! cmp -s bench/requirements.txt "$venv/installed.txt"; then
  echo "Installing FastStream and FastAPI for the bench (locked, with hashes) …"
  if "$python" -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
      -r bench/requirements.txt; then
    cp bench/requirements.txt "$venv/installed.txt"
  else
    rm -rf "$venv"
    echo "FastStream could not be installed; the race goes on without it."
  fi
fi

if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then
  echo "Maven or a JDK is not installed here; the race goes on without Camel."
elif [ -n "$(find bench/camel -newer "$camel/built" -type f 2>/dev/null)" ] || [ ! -e "$camel/built" ]; then
  echo "Building the Camel route …"
  rm -rf "$camel"
  if mvn --batch-mode --quiet -Dstyle.color=never --file bench/camel/pom.xml "-Dbench.out=$camel" \
    compile dependency:copy-dependencies "-DoutputDirectory=$camel/lib"; then
    touch "$camel/built"
  else
    rm -rf "$camel"
    echo "Maven does not answer; the race goes on without Camel."
  fi
fi
exit 0
