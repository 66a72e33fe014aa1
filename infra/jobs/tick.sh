#!/bin/sh
# One tick of retraining on this machine, in whatever bare environment a scheduler gives: cron, a systemd timer, Slurm.
#     infra/jobs/tick.sh SETTINGS [LOG]
# SETTINGS is a file of NAME=value lines (retrain.env.example beside this file) that nobody else may read. With LOG all
# output is appended to that file, which is turned over at 10 MB, five old ones kept. Ends with retraining's status.
set -eu
root=$(cd "$(dirname "$(realpath "$0")")/../.." && pwd)
settings=${1:?a file of settings is wanted: infra/jobs/tick.sh SETTINGS [LOG]}
log=${2:-}

turned_over() {
    [ -f "$1" ] && [ "$(stat -c %s "$1")" -gt 10000000 ] || return 0
    for number in 4 3 2 1; do
        [ ! -f "$1.$number" ] || mv "$1.$number" "$1.$((number + 1))"
    done
    mv "$1" "$1.1"
}

if [ -n "$log" ]; then
    mkdir -p "$(dirname "$log")"
    turned_over "$log"
    exec >> "$log" 2>&1
fi
if [ ! -f "$settings" ] || [ -n "$(find "$settings" -perm /077)" ]; then
    echo "error: $settings: no file, or others may read it; \`chmod 600\` it" >&2
    exit 1
fi
set -a
# shellcheck source=infra/jobs/retrain.env.example
. "$settings"
set +a
: "${RETRAIN_REPOSITORY:?$settings does not say it}" "${RETRAIN_REVISION:?}" "${RETRAIN_WORK:?}" "${RETRAIN_SUITE:?}"

echo "tick: $(date -u +%Y-%m-%dT%H:%M:%SZ), $RETRAIN_SUITE of $RETRAIN_REVISION"
cd "$root"
export PATH="$root/.venv/bin:$PATH"
set -- --repository "$RETRAIN_REPOSITORY" --revision "$RETRAIN_REVISION" --work "$RETRAIN_WORK" --suite "$RETRAIN_SUITE" \
    --when-busy "${RETRAIN_WHEN_BUSY:-leave}" --hours "${RETRAIN_HOURS:-10}" ${RETRAIN_BLOCK:+--block "$RETRAIN_BLOCK"}
if [ -n "${RETRAIN_JOB_SERVER:-}" ]; then
    python -m infra.jobs.ray.submit --address "$RETRAIN_JOB_SERVER" -- "$@" &
else
    python -m pipelines.retrain "$@" &
fi
retraining=$!
# Whoever ends the tick ends retraining, in good order: it is waited for.
trap 'kill "$retraining"' TERM INT
status=0
wait "$retraining" || status=$?
while kill -0 "$retraining" 2> /dev/null; do
    status=0
    wait "$retraining" || status=$?
done
echo "tick: $(date -u +%Y-%m-%dT%H:%M:%SZ), ended with status $status"

# For node_exporter's textfile collector: when a tick last went well.
if [ "$status" = 0 ] && [ -n "${RETRAIN_TEXTFILES:-}" ]; then
    printf '# TYPE rnn_tick_success_seconds gauge\nrnn_tick_success_seconds{suite="%s"} %s\n' \
        "$RETRAIN_SUITE" "$(date +%s)" > "$RETRAIN_TEXTFILES/.rnn_tick.$$"
    mv "$RETRAIN_TEXTFILES/.rnn_tick.$$" "$RETRAIN_TEXTFILES/rnn_tick_$RETRAIN_SUITE.prom"
fi
exit "$status"
