#!/bin/sh
# Calls somebody and reads the log. BASE is the address of the service, TOKEN that of a key.
set -eu

ask() { # by @- the token is in no list of processes
	answer=$(printf 'Authorization: Bearer %s' "$TOKEN" | curl -sS --fail-with-body -H @- "$@") || {
		echo "$answer" >&2
		exit 1
	}
}
field() { echo "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

ask -d '{"to":"+15550123"}' "$BASE/v1/calls"
ask "$BASE/v1/calls/$(field id)/logs"
echo "$(field mode) call: $(field id)"
