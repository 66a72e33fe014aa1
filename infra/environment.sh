#!/bin/sh
# Makes .venv where it is missing, half made, or older than requirements.lock: `make` runs this before everything else.
# Finds a Python that fits (PYTHON names another one) and hands over to environment.py beside this file.
cd "$(dirname "$0")/.." || exit 1

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ -n "$PYTHON" ]; then
    if ! fits "$PYTHON"; then
        found=$("$PYTHON" --version 2>&1) || found="no Python that runs"
        echo "error: PYTHON=$PYTHON: found $found; Python 3.11, 3.12 or 3.13 is needed" >&2
        exit 1
    fi
    exec "$PYTHON" infra/environment.py
fi
for python in python3 python3.13 python3.12 python3.11 python .venv/bin/python; do
    fits "$python" && exec "$python" infra/environment.py
done
found=$(python3 --version 2>&1) || found="none"
echo "error: python3: found $found; Python 3.11, 3.12 or 3.13 is needed (make PYTHON=/path/to/python3.12 names one)" >&2
exit 1
