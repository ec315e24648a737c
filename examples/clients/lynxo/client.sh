#!/bin/sh
# Creates a job and looks at it. BASE is the address of the service, TOKEN that of a key.
set -eu

ask() { # by @- the token is in no list of processes
	answer=$(printf 'Authorization: Bearer %s' "$TOKEN" | curl -sS --fail-with-body -H @- "$@") || {
		echo "$answer" >&2
		exit 1
	}
}
field() { echo "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

ask -d '{"name":"import"}' "$BASE/v1/jobs"
ask "$BASE/v1/jobs/$(field id)"
echo "$(field name): $(field id)"
