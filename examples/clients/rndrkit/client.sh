#!/bin/sh
# Deploys the first project. BASE is the address of the service, TOKEN that of a key.
set -eu

ask() { # by @- the token is in no list of processes
	answer=$(printf 'X-Api-Key: %s' "$TOKEN" | curl -sS --fail-with-body -H @- "$@") || {
		echo "$answer" >&2
		exit 1
	}
}
field() { echo "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

ask "$BASE/api/projects"
project=$(field id) name=$(field name)
ask -d "{\"project\":\"$project\"}" "$BASE/api/deployments"
echo "$name: $(field id)"
