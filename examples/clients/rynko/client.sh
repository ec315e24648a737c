#!/bin/sh
# Makes a document and prints it. BASE is the address of the service, TOKEN that of a key.
set -eu

ask() { # by @- the token is in no list of processes
	answer=$(printf 'Authorization: Bearer %s' "$TOKEN" | curl -sS --fail-with-body -H @- "$@") || {
		echo "$answer" >&2
		exit 1
	}
}
field() { echo "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

ask -d '{"templateId":"invoice","format":"pdf"}' "$BASE/api/v1/documents/generate"
status=$(field statusUrl)
until [ -n "$(field downloadUrl)" ]; do
	sleep 1
	ask "$status"
done
ask "$(field downloadUrl)"
echo "$answer"
