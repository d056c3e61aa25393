# run_logged.sh LOG COMMAND...: what the command prints goes to LOG, and is shown when it fails, or
# where it warns.
log=$1
shift
if "$@" >"$log" 2>&1; then
  grep -A5 -E "warning|error" "$log" || true
else
  status=$?
  cat "$log"
  exit $status
fi
